// qcow2 images against qemu-img, and against what a power cut leaves.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>

#include "devices/block/qcow2/backend.h"
#include "devices/block/raw.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

using Bytes = std::vector<std::byte>;
using Kind = BlockRequest::Kind;

// A file in memory that remembers the order of what was written to it, and where it was flushed.
class LoggedFile final : public BlockBackend {
 public:
  struct Write {
    uint64_t offset;
    Bytes bytes;  // empty: a flush
  };
  explicit LoggedFile(Bytes bytes) : bytes_(std::move(bytes)) {}

  BlockInfo info() const override {
    BlockInfo info;
    info.size = UINT64_MAX & ~uint64_t{511};
    info.description = "disk 'test'";
    return info;
  }
  Result<std::unique_ptr<BlockQueue>> open_queue(EventLoop& loop) override { return std::make_unique<Queue>(*this, loop); }
  Result<void> resize(uint64_t) override { return fail("no"); }

  Bytes bytes_;
  std::vector<Write> log_;

 private:
  class Queue final : public BlockQueue {
   public:
    Queue(LoggedFile& file, EventLoop& loop) : file_(file), loop_(loop) {}
    ~Queue() override { loop_.forget(this); }
    void submit(BlockRequest& request) override {
      file_.run(request);
      loop_.defer(this, [&request] { request.done(request, 0); });
    }
    uint32_t in_flight() const override { return 0; }

   private:
    LoggedFile& file_;
    EventLoop& loop_;
  };
  void run(BlockRequest& request) {
    if (request.kind == Kind::flush) {
      log_.push_back({0, {}});
      return;
    }
    const bool writing = request.kind == Kind::write;
    if (writing && bytes_.size() < request.offset + request.length) {
      bytes_.resize(request.offset + request.length);
    }
    uint64_t at = request.offset;
    Bytes written;
    for (const iovec& part : request.iov) {
      auto* const memory = static_cast<std::byte*>(part.iov_base);
      for (size_t i = 0; i < part.iov_len; ++i, ++at) {
        if (writing) {
          bytes_[at] = memory[i];
          written.push_back(memory[i]);
        } else {
          memory[i] = at < bytes_.size() ? bytes_[at] : std::byte{0};
        }
      }
    }
    if (writing) {
      log_.push_back({request.offset, std::move(written)});
    }
  }
};

std::string temporary(const std::string& name) {
  static const std::string folder = [] {
    std::string made = (std::filesystem::temp_directory_path() / "lodge-qcow2-XXXXXX").string();
    REQUIRE(::mkdtemp(made.data()) != nullptr);
    return made;
  }();
  return folder + "/" + name;
}

bool shell(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

Bytes contents(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> read((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  Bytes bytes(read.size());
  std::memcpy(bytes.data(), read.data(), read.size());
  return bytes;
}

void write_file(const std::string& path, const Bytes& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

// 0: good; 3: leaks only.
int check(const Bytes& image) {
  const std::string path = temporary("check.qcow2");
  write_file(path, image);
  const int status = std::system(("qemu-img check -f qcow2 " + path + " >/dev/null 2>&1").c_str());
  return WEXITSTATUS(status);
}

// An image at work, and what its guest must see.
struct Bench {
  explicit Bench(const std::string& options, uint64_t size, bool unmap = true) : model(size), options_unmap(unmap) {
    const std::string path = temporary("fresh.qcow2");
    REQUIRE(shell("qemu-img create -f qcow2 " + options + " " + path + " " + std::to_string(size)));
    reopen(contents(path));
  }
  Bench(Bytes image, Bytes expected, bool on_device = false) : model(std::move(expected)), device(on_device) {
    reopen(std::move(image));
  }
  ~Bench() { close(); }

  void reopen(Bytes image) {
    auto made = std::make_unique<LoggedFile>(std::move(image));
    file = made.get();
    qcow2::BackendOptions options;
    options.file_bytes = device ? UINT64_MAX : file->bytes_.size();
    options.file = std::move(made);
    options.unmap = options_unmap;
    backend = must(qcow2::Backend::open(std::move(options)));
    loop = must(EventLoop::create("test"));
    queue = must(backend->open_queue(*loop));
  }
  // What is in the file afterwards.
  Bytes close() {
    if (!backend) {
      return {};
    }
    queue.reset();
    loop.reset();
    backend->give_up();
    Bytes bytes = file->bytes_;
    backend.reset();
    return bytes;
  }
  int run(Kind kind, uint64_t offset, Bytes& bytes, bool may_unmap = true) {
    BlockRequest request;
    request.kind = kind;
    request.offset = offset;
    request.length = bytes.size();
    request.may_unmap = may_unmap;
    if (kind == Kind::read || kind == Kind::write) {
      for (size_t at = 0; at < bytes.size(); at += 4096) {
        request.iov.push_back({bytes.data() + at, std::min<size_t>(4096, bytes.size() - at)});
      }
    }
    int result = -1;
    struct Wait : BlockRequest {};
    static thread_local int* where = nullptr;
    where = &result;
    request.done = [](BlockRequest&, int error) { *where = error; };
    queue->submit(request);
    for (int turns = 0; result == -1 && turns < 100000; ++turns) {
      loop->run_once(std::chrono::nanoseconds(0));
    }
    return result;
  }
  // One of the guest's changes, and how much was in the file's log when it began.
  struct Change {
    size_t begin;
    uint64_t offset;
    size_t length;
  };
  // What the guest had at a flush that was done, and how much was in the log then.
  struct Flushed {
    size_t end;
    Bytes model;
    size_t changes;
  };
  void changing(uint64_t offset, size_t length) { changes.push_back({file->log_.size(), offset, length}); }
  void write(uint64_t offset, size_t length, uint8_t what) {
    changing(offset, length);
    Bytes bytes(length, std::byte{what});
    REQUIRE(run(Kind::write, offset, bytes) == 0);
    std::ranges::copy(bytes, model.begin() + static_cast<ptrdiff_t>(offset));
  }
  void zero(uint64_t offset, size_t length, bool may_unmap) {
    changing(offset, length);
    Bytes bytes(length);
    REQUIRE(run(Kind::write_zeroes, offset, bytes, may_unmap) == 0);
    std::ranges::copy(Bytes(length), model.begin() + static_cast<ptrdiff_t>(offset));
  }
  void flush() {
    Bytes none;
    REQUIRE(run(Kind::flush, 0, none) == 0);
    flushes.push_back({file->log_.size(), model, changes.size()});
  }
  Bytes read(uint64_t offset, size_t length) {
    Bytes bytes(length, std::byte{0xEE});
    REQUIRE(run(Kind::read, offset, bytes) == 0);
    return bytes;
  }
  void compare() { REQUIRE(read(0, model.size()) == model); }

  Bytes model;
  std::vector<Change> changes;
  std::vector<Flushed> flushes;
  bool options_unmap = true;
  bool device = false;  // a block device: what is behind the image is not zeros
  LoggedFile* file = nullptr;
  std::unique_ptr<qcow2::Backend> backend;
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<BlockQueue> queue;
};

void random_steps(Bench& bench, std::mt19937& random, int steps) {
  const auto blocks = static_cast<uint32_t>(bench.model.size() / 512);
  for (int i = 0; i < steps; ++i) {
    const uint32_t first = random() % blocks;
    const uint32_t most = random() % 4 == 0 ? 400 : 20;
    const uint32_t count = std::min(blocks - first, 1 + static_cast<uint32_t>(random()) % most);
    const uint64_t at = uint64_t{first} * 512;
    const size_t length = size_t{count} * 512;
    switch (random() % 8) {
      case 0: bench.zero(at, length, (random() & 1) != 0); break;
      case 1: bench.flush(); break;
      case 2: {
        const Bytes got = bench.read(at, length);
        REQUIRE(std::equal(got.begin(), got.end(), bench.model.begin() + static_cast<ptrdiff_t>(at)));
        break;
      }
      default: bench.write(at, length, static_cast<uint8_t>(random()));
    }
  }
}

}  // namespace

TEST_CASE("qcow2_random_work_is_what_qemu_img_reads", "[qcow2]") {
  const std::string options =
      GENERATE(std::string("-o cluster_size=4096"), std::string(""), std::string("-o cluster_size=512,refcount_bits=1"),
               std::string("-o compat=0.10,cluster_size=4096"), std::string("-o cluster_size=1024,refcount_bits=64"));
  std::mt19937 random(7);
  Bench bench(options, 4 << 20);
  random_steps(bench, random, 300);
  bench.compare();
  const Bytes model = bench.model;
  const Bytes image = bench.close();
  CHECK(check(image) == 0);
  const std::string path = temporary("random.qcow2");
  write_file(path, image);
  REQUIRE(shell("qemu-img convert -f qcow2 -O raw " + path + " " + temporary("random.raw")));
  CHECK(contents(temporary("random.raw")) == model);
}

// The file as a power cut leaves it: all up to the last flush before `cut`, and of what follows any part, in any order.
Bytes cut_at(const Bytes& begin, const std::vector<LoggedFile::Write>& log, size_t cut, std::mt19937& random) {
  Bytes file = begin;
  const auto apply = [&file](const LoggedFile::Write& write, size_t length) {
    file.resize(std::max<size_t>(file.size(), write.offset + write.bytes.size()));
    std::copy_n(write.bytes.begin(), length, file.begin() + static_cast<ptrdiff_t>(write.offset));
  };
  size_t barrier = cut;
  while (barrier > 0 && !log[barrier - 1].bytes.empty()) {
    --barrier;
  }
  for (size_t i = 0; i < barrier; ++i) {
    apply(log[i], log[i].bytes.size());
  }
  std::vector<size_t> loose(cut - barrier);
  std::iota(loose.begin(), loose.end(), barrier);
  std::ranges::shuffle(loose, random);
  for (const size_t i : loose) {
    switch (random() % 3) {
      case 0: break;
      case 1: apply(log[i], random() % (log[i].bytes.size() / 512 + 1) * 512); break;  // torn between sectors
      default: apply(log[i], log[i].bytes.size());
    }
  }
  return file;
}

TEST_CASE("qcow2_survives_power_cuts", "[qcow2]") {
  const auto [options, cuts] =
      GENERATE(std::pair{"-o cluster_size=4096", 200}, std::pair{"-o cluster_size=512,refcount_bits=8", 120},
               std::pair{"-o compat=0.10,cluster_size=1024", 80});
  std::mt19937 random(11);
  Bench bench(options, 1 << 20);
  const Bytes begin = bench.file->bytes_;
  random_steps(bench, random, 250);
  bench.flush();
  const auto log = bench.file->log_;
  REQUIRE(log.size() > 500);
  for (int i = 0; i < cuts; ++i) {
    const size_t cut = random() % (log.size() + 1);
    const Bytes left = cut_at(begin, log, cut, random);
    const int outcome = check(left);
    CAPTURE(cut);
    REQUIRE((outcome == 0 || outcome == 3));
    Bench after(left, {});
    const auto next = std::ranges::find_if(bench.flushes, [&](const auto& each) { return each.end > cut; });
    Bytes expected(bench.model.size());
    size_t known = 0;
    if (next != bench.flushes.begin()) {
      expected = std::prev(next)->model;
      known = std::prev(next)->changes;
    }
    Bytes got = after.read(0, expected.size());
    for (size_t change = known; change < bench.changes.size() && bench.changes[change].begin <= cut; ++change) {
      const auto& [start, offset, length] = bench.changes[change];  // not flushed: anything may be there
      std::copy_n(expected.begin() + static_cast<ptrdiff_t>(offset), length, got.begin() + static_cast<ptrdiff_t>(offset));
    }
    REQUIRE(got == expected);
  }
}

TEST_CASE("qcow2_on_a_block_device_trusts_nothing_behind_the_image", "[qcow2]") {
  std::mt19937 random(5);
  Bytes image;
  {
    Bench fresh("-o cluster_size=4096", 1 << 20);
    image = fresh.file->bytes_;
  }
  image.resize(4 << 20, std::byte{0xA5});
  Bench bench(std::move(image), Bytes(1 << 20), true);
  bench.compare();
  random_steps(bench, random, 150);
  bench.compare();
  CHECK(bench.file->bytes_.size() == 4 << 20);
}

TEST_CASE("qcow2_reads_what_qemu_img_has_made", "[qcow2]") {
  std::mt19937 random(3);
  Bytes content(3 << 20);
  for (size_t at = 0; at < content.size(); at += 512) {  // it can be compressed, but not to nothing
    std::fill_n(content.begin() + static_cast<ptrdiff_t>(at), 512, static_cast<std::byte>(random() % 7));
    content[at] = static_cast<std::byte>(random());
  }
  std::fill_n(content.begin() + (1 << 20), 1 << 18, std::byte{0});
  write_file(temporary("content.raw"), content);
  const std::string how = GENERATE(std::string("-c"), std::string("-c -o compression_type=zstd"), std::string(""),
                                   std::string("-c -o cluster_size=2M"), std::string("-c -o cluster_size=512"));
  const std::string path = temporary("made.qcow2");
  REQUIRE(shell("qemu-img convert -f raw -O qcow2 " + how + " " + temporary("content.raw") + " " + path));
  SECTION("alone") {
    Bench bench(contents(path), content);
    bench.compare();
    random_steps(bench, random, 60);
    bench.compare();
    CHECK(check(bench.close()) == 0);
  }
  SECTION("with a snapshot, which stays as it is") {
    REQUIRE(shell("qemu-img snapshot -c before " + path));
    Bench bench(contents(path), content);
    bench.compare();
    random_steps(bench, random, 100);
    bench.compare();
    const Bytes model = bench.model;
    const Bytes image = bench.close();
    CHECK(check(image) == 0);
    write_file(path, image);
    REQUIRE(shell("qemu-img convert -l before -f qcow2 -O raw " + path + " " + temporary("before.raw")));
    CHECK(contents(temporary("before.raw")) == content);
    REQUIRE(shell("qemu-img snapshot -d before " + path));
    CHECK(check(contents(path)) == 0);
    Bench again(contents(path), model);
    again.compare();
    random_steps(again, random, 60);
    again.compare();
    CHECK(check(again.close()) == 0);
  }
}

}  // namespace lodge::test
