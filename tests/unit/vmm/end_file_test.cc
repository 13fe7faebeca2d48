#include "vmm/end_file.h"

#include <stdlib.h>
#include <unistd.h>
#include <catch2/catch.hpp>

namespace lodge {

TEST_CASE("the end file has one line and nothing of an earlier run") {
  std::string path = "/tmp/lodge-end-XXXXXX";
  const Fd fd(::mkstemp(path.data()));
  REQUIRE(write_all(fd.get(), "{\"reason\":\"of a longer line than the next\",\"exit\":12345}\n"));
  {
    const auto file = EndFile::create(path);
    REQUIRE(file);
    CHECK(*read_file(path, 1000) == "");
    file->write("guest-shutdown", 0);
  }
  CHECK(*read_file(path, 1000) == "{\"reason\":\"guest-shutdown\",\"exit\":0}\n");
  EndFile::create(path)->write("error", 1, "a \"quoted\" cause");
  CHECK(*read_file(path, 1000) == "{\"reason\":\"error\",\"exit\":1,\"detail\":\"a \\\"quoted\\\" cause\"}\n");
  ::unlink(path.c_str());
}

TEST_CASE("without a path there is no end file, with a bad one an error") {
  const auto none = EndFile::create("");
  REQUIRE(none);
  none->write("guest-shutdown", 0);
  CHECK(EndFile::create("/nonexistent/end").error().message ==
        "cannot open the end file '/nonexistent/end': No such file or directory; choose a path that may be written");
}

}  // namespace lodge
