# Compiler and linker settings for every target, and the one way to declare a layer.
find_program(CCACHE ccache)
if(CCACHE)
  # Clones share what they compile: paths count from the source folder. The rest lets it keep what is made with precompiled headers.
  set(ccache ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1 CCACHE_ABSSTDERR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${ccache})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${ccache})
endif()

find_program(MOLD mold)
if(MOLD)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_link_options(-fuse-ld=mold)
  else()
    add_link_options(-fuse-ld=${MOLD})
  endif()
endif()

add_compile_options(
  -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Wconversion -Wcast-align -Wformat=2 -Wimplicit-fallthrough
  -Woverloaded-virtual -fno-strict-aliasing -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options(-Wthread-safety)
else()
  # GCC 12 reports these falsely inside std::expected and fmt when it inlines.
  add_compile_options(-Wno-maybe-uninitialized -Wno-missing-field-initializers)
  if(LODGE_SANITIZE MATCHES "thread")
    add_compile_options(-Wno-tsan)  # fences, which it does not model; the queues use them next to atomics
  endif()
endif()
add_compile_options(-fPIE)  # the monitor is a static position-independent program
add_compile_definitions(_GNU_SOURCE)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

if(LODGE_SANITIZE)
  add_compile_options(-fsanitize=${LODGE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LODGE_SANITIZE})
endif()
if(LODGE_FUZZ)
  # Null pointers stop a target anyway, by the address sanitizer; the other two cost a fifth of the time to compile.
  add_compile_options(-fsanitize=fuzzer-no-link -fno-sanitize=null,vptr,object-size)
  add_compile_definitions(LODGE_FUZZING)
endif()
if(LODGE_COVERAGE)
  add_compile_options(--coverage)
  add_compile_definitions(LODGE_NO_SANDBOX)  # counts are written to files at exit
  add_link_options(--coverage)
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
# Headers only; packages libfmt-dev, libspdlog-dev, liburing-dev.
find_path(FMT_INCLUDE fmt/core.h REQUIRED)
find_path(SPDLOG_INCLUDE spdlog/logger.h REQUIRED)
find_library(LIBURING_STATIC NAMES liburing.a REQUIRED)
find_library(EXPAT_STATIC NAMES libexpat.a REQUIRED)
find_library(ZLIB_STATIC NAMES libz.a REQUIRED)
find_library(ZSTD_STATIC NAMES libzstd.a REQUIRED)

# Headers of libraries that most files want. Each file includes what it uses all the same (clang-tidy reads them without); compiled once,
# they take half of the build's time away.
set(LODGE_STANDARD_HEADERS
    <algorithm> <array> <atomic> <charconv> <chrono> <cstring> <deque> <expected> <functional> <map> <memory> <mutex> <optional> <set>
    <span> <string> <string_view> <thread> <unordered_map> <utility> <variant> <vector> <fmt/core.h>)

# lodge_precompile(TARGET OWNER HEADERS...): TARGET starts with these headers, which OWNER, compiled the same way, has compiled.
function(lodge_precompile target owner)
  if(target STREQUAL owner)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endif()
endfunction()

# lodge_layer(NAME SEES...): a static library of all *.cc below this folder (main.cc and LODGE_LAYER_APART apart) that may use the layers it SEES.
function(lodge_layer name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  if(LODGE_LAYER_APART)
    list(FILTER sources EXCLUDE REGEX ${LODGE_LAYER_APART})
  endif()
  if(NOT sources)
    add_library(lodge_${name} INTERFACE)
    target_include_directories(lodge_${name} INTERFACE ${PROJECT_SOURCE_DIR})
    target_link_libraries(lodge_${name} INTERFACE ${ARGN})
    return()
  endif()
  add_library(lodge_${name} STATIC ${sources})
  target_include_directories(lodge_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(lodge_${name} PUBLIC ${ARGN})
  if(NOT name STREQUAL "libvirt-driver")  # it has more of them
    lodge_precompile(lodge_${name} lodge_base ${LODGE_STANDARD_HEADERS})
  endif()
endfunction()
