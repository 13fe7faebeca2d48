#!/usr/bin/python3
"""Prints "PASSED FAILED SKIPPED" of a JUnit file, as ctest and pytest write them."""
import sys
import xml.etree.ElementTree


def main():
    """Counts test cases by what is said of each, not by the file's own totals, which differ in meaning."""
    passed = failed = skipped = 0
    for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
            failed += 1
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            skipped += 1
        else:
            passed += 1
    print(passed, failed, skipped)


if __name__ == "__main__":
    main()
