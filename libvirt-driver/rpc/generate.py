#!/usr/bin/python3
"""Makes C++ of procedures.txt: one struct for each procedure's arguments and results, and the rows of the table.

usage: generate.py PROCEDURES OUTPUT_FOLDER     writes protocol.h, procedure_rows.h and shape_checks.h there
"""
import re
import sys
from dataclasses import dataclass

PLAIN = {
    "i32": "int32_t", "u32": "uint32_t", "i64": "int64_t", "u64": "uint64_t", "str": "std::string", "uuid": "Uuid",
    # characters and short numbers take four bytes each
    "i8c": "int32_t", "u8c": "uint32_t", "u16c": "uint32_t",
    "dom": "DomainName", "net": "NetworkName", "tp": "TypedParam", "snap": "SnapshotName", "ckpt": "SnapshotName",
}


@dataclass
class Row:
    """A line of the table."""
    program: str
    number: int
    name: str
    group: str
    priority: str
    access: str
    arguments: str
    results: str

    @property
    def forward(self):
        """The family of another daemon that serves it, or ''."""
        kind, _, family = self.group.partition(":")
        return family if kind.startswith("forward") else ""

    @property
    def event(self):
        """Whether the server sends it."""
        return self.group.split(":")[0].endswith("event")


def camel(name):
    """DOMAIN_GET_INFO, domain_get_info -> DomainGetInfo"""
    return "".join(word.capitalize() for word in name.split("_"))


def snake(name):
    """maxMem -> max_mem"""
    name = re.sub(r"([a-z0-9])([A-Z]+)", lambda m: m[1] + "_" + m[2].lower(), name).lower()
    return name + "_" if name in ("default", "union", "operator") else name


def cpp_type(text):
    """The C++ type of a type of the table."""
    if text.endswith("?"):
        return f"std::optional<{cpp_type(text[:-1])}>"
    if match := re.fullmatch(r"bytes<(\d+)>", text):
        return f"Opaque<{match[1]}>"
    if match := re.fullmatch(r"i8c\[\]<(\d+)>", text):
        return f"XdrChars<{match[1]}>"
    if match := re.fullmatch(r"(\w+)\[\]<(\d+)>", text):
        return f"List<{cpp_type(match[1])}, {match[2]}>"
    if match := re.fullmatch(r"(\w+)\[(\d+)\]", text):
        return f"std::array<{cpp_type(match[1])}, {match[2]}>"
    return PLAIN.get(text, camel(text))


def read_rows(path):
    """The rows of the table, in order."""
    rows, program = [], ""
    with open(path, encoding="utf-8") as table:
        for line in table:
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("program "):
                program = line.split()[1]
                continue
            head, *shapes = [part.strip() for part in line.split("|")]
            number, name, group, priority, access = head.split()
            arguments, results = shapes if shapes else ("-", "-")
            rows.append(Row(program, int(number), name, group, priority, access, arguments, results))
    return rows


def fields(shape, rows):
    """(name, C++ type) of each member."""
    if shape == "-":
        return []
    members = []
    for part in shape.split(", "):
        if part.startswith("*"):
            other = next(row for row in rows if row.name == part[1:])
            members += fields(other.arguments, rows)
            continue
        name, _, kind = part.partition(":")
        members.append((snake(name), cpp_type(kind)))
    return members


def struct(name, members):
    """A struct with its description for the codec."""
    lines = [f"struct {name} {{"]
    for member, kind in members:
        initial = "" if kind.startswith(("std::optional", "std::string", "List", "Opaque", "XdrChars")) else "{}"
        lines.append(f"  {kind} {member}{initial};")
    # A template, so that only structs which are used cost compile time; a tuple costs it for each.
    calls = " && ".join(f"f(&{name}::{member})" for member, _ in members)
    lines += ["  template <class F>", f"  static constexpr bool xdr_each([[maybe_unused]] F&& f) {{ return {calls or 'true'}; }}", "};"]
    return "\n".join(lines)


def denied(access):
    """The condition under which a read-only client may not."""
    if access in ("ok", "deny"):
        return "true" if access == "deny" else "false"
    condition = access.partition(":")[2]
    if match := re.fullmatch(r"(\w+)&(\d+)", condition):
        return f"(args.{snake(match[1])} & {match[2]}U) != 0"
    match = re.fullmatch(r"(\w+)=(\d+)", condition)
    return f"args.{snake(match[1])} == {match[2]}"


def shapes_header(rows):
    """protocol.h"""
    out = ["// Made by generate.py from procedures.txt: the shape of every procedure.", "#pragma once", "",
           '#include "libvirt-driver/rpc/types.h"', "", "namespace lodge::rpc {", ""]
    for program, enum in (("remote", "Proc"), ("qemu", "QemuProc")):
        out.append(f"enum class {enum} : int32_t {{")
        out += [f"  {row.name.lower()} = {row.number}," for row in rows if row.program == program]
        out += ["};", ""]
    out += ["// Args and Ret of a procedure, and whether a read-only client may not call it so.", "template <auto P>",
            "struct Shape;", ""]
    for row in rows:
        if row.forward:
            continue
        base = camel(row.name)
        if row.event:
            out.append(struct(base + "Msg", fields(row.arguments, rows)))
            continue
        out.append(struct(base + "Args", fields(row.arguments, rows)))
        out.append(struct(base + "Ret", fields(row.results, rows)))
        enum = "Proc" if row.program == "remote" else "QemuProc"
        out += ["template <>", f"struct Shape<{enum}::{row.name.lower()}> {{", f"  using Args = {base}Args;",
                f"  using Ret = {base}Ret;",
                f"  static bool denied([[maybe_unused]] const Args& args) {{ return {denied(row.access)}; }}", "};", ""]
    out += ["}  // namespace lodge::rpc", ""]
    return "\n".join(out)


def rows_header(rows):
    """procedure_rows.h"""
    out = ["// Made by generate.py from procedures.txt: the rows of the table of procedures.", "#pragma once", "",
           '#include "libvirt-driver/rpc/procedure.h"', "", "namespace lodge::rpc {", ""]
    for program in ("remote", "qemu"):
        out.append(f"inline constexpr ProcedureRow k{program.capitalize()}Rows[] = {{")
        for row in rows:
            if row.program == program:
                group = row.group.split(":")[0]
                out.append(f'    {{{row.number}, "{row.name}", "{group}", "{row.forward}", '
                           f'{str(row.priority == "high").lower()}, {str(row.access == "deny").lower()}, '
                           f'{str(row.event).lower()}}},')
        out += ["};", ""]
    out += ["}  // namespace lodge::rpc", ""]
    return "\n".join(out)


def checks_header(rows):
    """shape_checks.h"""
    out = ["// Made by generate.py from procedures.txt: every shape as bytes in and bytes out, for golden bytes and fuzzers.", "#pragma once", "",
           '#include "libvirt-driver/rpc/message.h"', '#include "libvirt-driver/rpc/protocol.h"', "", "namespace lodge::rpc {", "",
           "// What decodes, encoded again.", "template <class Shape>",
           "Result<std::vector<uint8_t>> recode(std::span<const uint8_t> bytes) {",
           "  return encode(TRY(decode<Shape>(bytes)));", "}", "",
           "struct ShapeCheck {", "  using Recode = Result<std::vector<uint8_t>> (*)(std::span<const uint8_t>);", "  Program program;",
           "  int32_t number;", "  std::string_view name;", "  Recode arguments;  // of an event: what it tells", "  Recode results;    // null: an event",
           "};", "", "inline constexpr ShapeCheck kShapeChecks[] = {"]
    for row in rows:
        if not row.forward:
            base = camel(row.name)
            shapes = f"recode<{base}Msg>, nullptr" if row.event else f"recode<{base}Args>, recode<{base}Ret>"
            out.append(f'    {{Program::{row.program}, {row.number}, "{row.name}", {shapes}}},')
    out += ["};", "", "}  // namespace lodge::rpc", ""]
    return "\n".join(out)


def main():
    rows = read_rows(sys.argv[1])
    for name, text in (("protocol.h", shapes_header(rows)), ("procedure_rows.h", rows_header(rows)),
                       ("shape_checks.h", checks_header(rows))):
        with open(f"{sys.argv[2]}/{name}", "w", encoding="utf-8") as file:
            file.write(text)


main()
