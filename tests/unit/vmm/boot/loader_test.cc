#include "vmm/boot/loader.h"

#include <elf.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <string>

#include "vmm/boot/layout.h"
#include "vmm/boot/mapped_file.h"

namespace lodge {
namespace {

using Image = std::vector<std::byte>;

struct Guest {
  uint64_t size;
  std::unique_ptr<GuestMemory> memory;
  BootTables tables;
  explicit Guest(uint64_t ram = 64 * kMiB) : size(ram) {
    auto created = GuestMemory::create(ram_ranges(ram), {});
    REQUIRE(created);
    memory = std::move(*created);
    E820Config config;
    config.ram_size = ram;
    tables.e820 = build_e820(config);
    tables.low_ram_end = low_ram_end(ram);
    tables.rsdp = kAcpiRsdp;
  }
  Result<EntryState> load(const Image& kernel, const std::string& line = "", std::span<const std::byte> initrd = {},
                          std::vector<BootModule> modules = {}) const {
    BootFiles files;
    files.kernel = kernel;
    files.initrd = initrd;
    files.command_line = line;
    files.modules = std::move(modules);
    return load_kernel(*memory, files, tables);
  }
  template <class T>
  T at(uint64_t gpa) const {
    return memory->read<T>(Gpa{gpa}).value();
  }
  std::string text(uint64_t gpa) const {
    std::string out;
    for (char c = at<char>(gpa); c != 0; c = at<char>(++gpa)) {
      out += c;
    }
    return out;
  }
};

bool mentions(const auto& result, std::string_view text) {
  if (result) {
    return false;
  }
  UNSCOPED_INFO(result.error().message);
  return result.error().message.find(text) != std::string::npos;
}

template <class T>
void put(Image& image, size_t at, T value) {
  image.resize(std::max(image.size(), at + sizeof(T)));
  store_le(std::span(image), at, value);
}

// 1024 bytes of setup (one sector and the boot sector), then `payload` bytes of 0x90.
Image bzimage(size_t payload = 4096) {
  Image image(1024 + payload, std::byte{0x90});
  std::fill_n(image.begin(), 1024, std::byte{0});
  put<uint8_t>(image, 0x1f1, 1);
  put<uint32_t>(image, 0x1f4, static_cast<uint32_t>(payload / 16));
  put<uint16_t>(image, 0x1fe, 0xaa55);
  put<uint8_t>(image, 0x201, 0x6a);
  std::memcpy(image.data() + 0x202, "HdrS", 4);
  put<uint16_t>(image, 0x206, 0x20f);
  put<uint8_t>(image, 0x211, 1);
  put<uint32_t>(image, 0x22c, 0x7fffffff);
  put<uint32_t>(image, 0x230, 0x200000);
  put<uint8_t>(image, 0x234, 1);
  put<uint16_t>(image, 0x236, 1);
  put<uint32_t>(image, 0x238, 2047);
  put<uint64_t>(image, 0x258, 16 * kMiB);
  put<uint32_t>(image, 0x260, 8 * kMiB);
  return image;
}

struct ElfOptions {
  bool pvh = true;
  uint64_t physical = kMiB;
  uint64_t memory_size = 0x3000;
  uint64_t file_size = 0x1000;
};

// One load segment whose data is the whole file's first page, one note segment behind it.
Image elf64(const ElfOptions& options = {}) {
  Image image(0x1000, std::byte{0xcc});
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_entry = 0xffffffff81000000;
  header.e_phoff = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  put(image, 0, header);
  put(image, sizeof(header),
      Elf64_Phdr{PT_LOAD, 5, 0, options.physical, options.physical, options.file_size, options.memory_size, 0x1000});
  put(image, sizeof(header) + sizeof(Elf64_Phdr),
      Elf64_Phdr{options.pvh ? Elf64_Word{PT_NOTE} : Elf64_Word{PT_NULL}, 4, 0x1000, 0, 0, 40, 40, 4});
  // A foreign note first: 12 + 4 ("GNU") + 4, then Xen's.
  put(image, 0x1000, Elf64_Nhdr{4, 4, 1});
  std::memcpy(image.data() + 0x100c, "GNU", 4 - 1);
  image.resize(0x1028);
  put(image, 0x1014, Elf64_Nhdr{4, 4, 18});
  std::memcpy(image.data() + 0x1020, "Xen\0", 4);
  put<uint32_t>(image, 0x1024, 0x100040);
  return image;
}

// ELF32 linked at 1 MiB with a Multiboot header at 0x100 of the file.
Image elf32_multiboot(uint32_t flags = 3) {
  Image image(0x1000, std::byte{0xcc});
  Elf32_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS32;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_EXEC;
  header.e_machine = EM_386;
  header.e_entry = 0x100200;
  header.e_phoff = sizeof(header);
  header.e_phentsize = sizeof(Elf32_Phdr);
  header.e_phnum = 1;
  put(image, 0, header);
  put(image, sizeof(header), Elf32_Phdr{PT_LOAD, 0, 0x100000, 0x100000, 0x1000, 0x2000, 5, 0x1000});
  put<uint32_t>(image, 0x100, 0x1badb002);
  put<uint32_t>(image, 0x104, flags);
  put<uint32_t>(image, 0x108, 0U - 0x1badb002 - flags);
  return image;
}

// No file format at all: the header gives addresses; code starts at byte 0, header at 0x40.
Image flat_multiboot() {
  Image image(0x800, std::byte{0xcc});
  const uint32_t flags = 1U << 16;
  const uint32_t base = 0x200000;
  const uint32_t fields[8] = {0x1badb002, flags,        0U - 0x1badb002 - flags, base + 0x40,
                              base,       base + 0x800, base + 0x1800,           base + 0x60};
  for (size_t i = 0; i < 8; ++i) {
    put(image, 0x40 + i * 4, fields[i]);
  }
  return image;
}

}  // namespace

TEST_CASE("A bzImage starts in long mode at its 64-bit entry") {
  const Guest guest;
  const Image initrd(5000, std::byte{7});
  const auto state = guest.load(bzimage(), "console=ttyS0", initrd);
  REQUIRE(state);
  CHECK(state->kind == KernelKind::bzimage);
  CHECK(state->mode == EntryState::Mode::long64);
  CHECK(state->rip == 16 * kMiB + 0x200);
  CHECK(state->rsi == kZeroPage.value);
  CHECK(guest.at<uint8_t>(16 * kMiB) == 0x90);
  CHECK(guest.at<uint32_t>(kZeroPage.value + 0x202) == 0x53726448);
  CHECK(guest.at<uint8_t>(kZeroPage.value + 0x210) == 0xff);
  CHECK(guest.at<uint64_t>(kZeroPage.value + 0x70) == kAcpiRsdp.value);
  CHECK(guest.text(guest.at<uint32_t>(kZeroPage.value + 0x228)) == "console=ttyS0");
  const auto initrd_at = guest.at<uint32_t>(kZeroPage.value + 0x218);
  CHECK(initrd_at == 64 * kMiB - 8192);
  CHECK(guest.at<uint32_t>(kZeroPage.value + 0x21c) == 5000);
  CHECK(guest.at<uint8_t>(initrd_at + 4999) == 7);
  CHECK(guest.at<uint8_t>(kZeroPage.value + 0x1e8) == guest.tables.e820.size());
  CHECK(guest.at<uint64_t>(kZeroPage.value + 0x2d0 + 20) == guest.tables.e820[1].base);
}

TEST_CASE("Long mode has an identity map of 4 GiB and a flat GDT") {
  const Guest guest;
  const auto state = guest.load(bzimage());
  REQUIRE(state);
  CHECK(state->cr0 == 0x80000011);
  CHECK(state->cr4 == 0x20);
  CHECK(state->efer == 0x500);
  for (const uint64_t address : {uint64_t{0}, 16 * kMiB, 3 * kGiB + 6 * kMiB, 4 * kGiB - 2 * kMiB}) {
    const uint64_t pdpt = guest.at<uint64_t>(state->cr3) & ~uint64_t{0xfff};
    const uint64_t directory = guest.at<uint64_t>(pdpt + address / kGiB * 8) & ~uint64_t{0xfff};
    CHECK(guest.at<uint64_t>(directory + address % kGiB / (2 * kMiB) * 8) == (address | 0x83));
  }
  CHECK(guest.at<uint64_t>(state->gdt_base + state->code.selector) == 0x00af9b000000ffff);
  CHECK(guest.at<uint64_t>(state->gdt_base + state->data.selector) == 0x00cf93000000ffff);
  CHECK(guest.at<uint64_t>(state->gdt_base + state->task.selector) == 0x00008b0000000067);
}

TEST_CASE("bzImages that cannot be booted say why") {
  const Guest guest;
  Image old = bzimage();
  put<uint16_t>(old, 0x206, 0x20a);
  CHECK(mentions(guest.load(old), "no 64-bit entry"));
  Image only32 = bzimage();
  put<uint16_t>(only32, 0x236, 0);
  CHECK(mentions(guest.load(only32), "32-bit"));
  Image cut = bzimage();
  cut.resize(3000);
  CHECK(mentions(guest.load(cut), "truncated"));
  cut.resize(0x210);
  CHECK(mentions(guest.load(cut), "truncated"));
  Image big = bzimage();
  put<uint32_t>(big, 0x260, 80 * kMiB);
  CHECK(mentions(guest.load(big), "give it more memory"));
  CHECK(mentions(guest.load(bzimage(), std::string(2048, 'x')), "takes 2047 at most"));
  CHECK(guest.load(bzimage(), std::string(2047, 'x')));
  CHECK(mentions(guest.load(bzimage(), std::string("a\0b", 3)), "zero byte"));
  CHECK(mentions(guest.load(bzimage(), "", Image(48 * kMiB)), "initrd of 49152 KiB does not fit"));
  const Guest small(28 * kMiB);  // the kernel takes 16 to 24 MiB of it
  CHECK(mentions(small.load(bzimage(), "", Image(16 * kMiB)), "does not fit"));
  REQUIRE(small.load(bzimage(), "", Image(12 * kMiB)));
  CHECK(small.at<uint32_t>(kZeroPage.value + 0x218) == 4 * kMiB);  // below the kernel
  Image fixed = bzimage();
  put<uint64_t>(fixed, 0x258, 0x1000);
  put<uint8_t>(fixed, 0x234, 0);
  CHECK(mentions(guest.load(fixed), "cannot be moved"));
  put<uint8_t>(fixed, 0x234, 1);
  CHECK(guest.load(fixed));
}

TEST_CASE("The initrd stays below the kernel's limit and below reserved memory") {
  Guest guest;
  Image image = bzimage();
  put<uint32_t>(image, 0x22c, 40 * kMiB - 1);
  REQUIRE(guest.load(image, "", Image(4096)));
  CHECK(guest.at<uint32_t>(kZeroPage.value + 0x218) == 40 * kMiB - 4096);
  guest.tables.low_ram_end = 32 * kMiB;
  REQUIRE(guest.load(image, "", Image(4096)));
  CHECK(guest.at<uint32_t>(kZeroPage.value + 0x218) == 32 * kMiB - 4096);
}

TEST_CASE("A PVH kernel gets hvm start info") {
  const Guest guest;
  const Image initrd(4096, std::byte{3});
  const auto state = guest.load(elf64(), "quiet", initrd);
  REQUIRE(state);
  CHECK(state->kind == KernelKind::pvh);
  CHECK(state->mode == EntryState::Mode::protected32);
  CHECK(state->rip == 0x100040);
  CHECK(state->cr0 == 0x11);
  CHECK(state->code.default_32);
  const uint64_t info = state->rbx;
  CHECK(guest.at<uint32_t>(info) == 0x336ec578);
  CHECK(guest.at<uint32_t>(info + 4) == 1);
  CHECK(guest.at<uint32_t>(info + 12) == 1);
  const auto modules = guest.at<uint64_t>(info + 16);
  CHECK(guest.at<uint8_t>(guest.at<uint64_t>(modules)) == 3);
  CHECK(guest.at<uint64_t>(modules + 8) == 4096);
  CHECK(guest.text(guest.at<uint64_t>(info + 24)) == "quiet");
  CHECK(guest.at<uint64_t>(info + 32) == kAcpiRsdp.value);
  CHECK(guest.at<uint32_t>(info + 48) == guest.tables.e820.size());
  CHECK(guest.at<uint64_t>(guest.at<uint64_t>(info + 40) + 24) == guest.tables.e820[1].base);
  CHECK(guest.at<uint8_t>(kMiB + 0xfff) == 0xcc);
}

TEST_CASE("Zeroed parts of a segment are zeroed again at a reset") {
  const Guest guest;
  REQUIRE(guest.memory->fill(Gpa{kMiB}, 0x4000, std::byte{0xff}));
  REQUIRE(guest.load(elf64()));
  CHECK(guest.at<uint8_t>(kMiB + 0x1000) == 0);
  CHECK(guest.at<uint8_t>(kMiB + 0x2fff) == 0);
  CHECK(guest.at<uint8_t>(kMiB + 0x3000) == 0xff);
}

TEST_CASE("ELF files that cannot be booted say why") {
  const Guest guest;
  CHECK(mentions(guest.load(elf64({.pvh = false})), "neither bzImage, PVH ELF nor Multiboot"));
  CHECK(mentions(guest.load(elf64({.physical = 0x7000})), "overlaps boot data"));
  CHECK(mentions(guest.load(elf64({.physical = 0x90000, .memory_size = 0x20000})), "overlaps boot data or the video hole"));
  CHECK(mentions(guest.load(elf64({.physical = 63 * kMiB, .memory_size = 2 * kMiB})), "needs memory up to"));
  CHECK(mentions(guest.load(elf64({.physical = UINT64_MAX - 0x1000})), "no memory has"));
  CHECK(mentions(guest.load(elf64({.memory_size = 0x10})), "larger in the file"));
  CHECK(mentions(guest.load(elf64({.file_size = 0x100000})), "truncated"));
  Image cut = elf64();
  cut.resize(40);
  CHECK(mentions(guest.load(cut), "cut off"));
  cut = elf64();
  cut.resize(100);
  CHECK(mentions(guest.load(cut), "truncated"));
  Image arm = elf64();
  put<uint16_t>(arm, 18, EM_AARCH64);
  CHECK(mentions(guest.load(arm), "not for x86"));
}

TEST_CASE("A Multiboot ELF gets memory, modules and a command line") {
  const Guest guest;
  const Image first(100, std::byte{1});
  const Image second(5000, std::byte{2});
  const auto state = guest.load(elf32_multiboot(), "test=1", first, {{second, "second module"}});
  REQUIRE(state);
  CHECK(state->kind == KernelKind::multiboot);
  CHECK(state->mode == EntryState::Mode::protected32);
  CHECK(state->rip == 0x100200);
  CHECK(state->rax == 0x2badb002);
  const uint64_t info = state->rbx;
  CHECK(guest.at<uint32_t>(info) == (1U << 0 | 1U << 2 | 1U << 3 | 1U << 6 | 1U << 9));
  CHECK(guest.at<uint32_t>(info + 4) == 639);
  CHECK(guest.at<uint32_t>(info + 8) == 63 * 1024);
  CHECK(guest.text(guest.at<uint32_t>(info + 16)) == "test=1");
  REQUIRE(guest.at<uint32_t>(info + 20) == 2);
  const auto list = guest.at<uint32_t>(info + 24);
  CHECK(guest.at<uint32_t>(list) % 4096 == 0);
  CHECK(guest.at<uint32_t>(list + 4) - guest.at<uint32_t>(list) == 100);
  CHECK(guest.at<uint8_t>(guest.at<uint32_t>(list)) == 1);
  CHECK(guest.at<uint32_t>(list + 20) - guest.at<uint32_t>(list + 16) == 5000);
  CHECK(guest.text(guest.at<uint32_t>(list + 24)) == "second module");
  CHECK(guest.at<uint32_t>(info + 44) == guest.tables.e820.size() * 24);
  const auto map = guest.at<uint32_t>(info + 48);
  CHECK(guest.at<uint32_t>(map) == 20);
  CHECK(guest.at<uint64_t>(map + 24 + 4) == guest.tables.e820[1].base);
  CHECK(guest.text(guest.at<uint32_t>(info + 64)) == "Lodge");
}

TEST_CASE("A flat Multiboot image is loaded by its header's addresses") {
  const Guest guest;
  REQUIRE(guest.memory->fill(Gpa{0x200800}, 0x2000, std::byte{0xff}));
  const auto state = guest.load(flat_multiboot());
  REQUIRE(state);
  CHECK(state->rip == 0x200060);
  CHECK(guest.at<uint8_t>(0x2007ff) == 0xcc);
  CHECK(guest.at<uint8_t>(0x200800) == 0);
  CHECK(guest.at<uint8_t>(0x2017ff) == 0);
  CHECK(guest.at<uint8_t>(0x201800) == 0xff);
}

TEST_CASE("Multiboot kernels that cannot be booted say why") {
  const Guest guest;
  CHECK(mentions(guest.load(elf32_multiboot(3 | 1U << 5)), "requires features 0x20"));
  Image video = elf32_multiboot(7);
  put<uint32_t>(video, 0x120, 0);
  CHECK(mentions(guest.load(video), "graphics mode"));
  put<uint32_t>(video, 0x120, 1);
  CHECK(guest.load(video));
  Image flat = flat_multiboot();
  put<uint32_t>(flat, 0x40 + 16, 0x100000);
  CHECK(mentions(guest.load(flat), "before the start of the file"));
  flat = flat_multiboot();
  put<uint32_t>(flat, 0x40 + 20, 0x300000);
  CHECK(mentions(guest.load(flat), "truncated"));
  flat = flat_multiboot();
  put<uint32_t>(flat, 0x40 + 24, 0x200010);
  CHECK(mentions(guest.load(flat), "end of bss"));
  Image headless(0x100);
  put<uint32_t>(headless, 0, 0x1badb002);
  put<uint32_t>(headless, 8, 0U - 0x1badb002);
  CHECK(mentions(guest.load(headless), "not an ELF file"));
  put<uint32_t>(headless, 8, 1);  // wrong checksum: no header at all
  CHECK(mentions(guest.load(headless), "not a kernel"));
}

TEST_CASE("Anything else is not a kernel") {
  const Guest guest;
  CHECK(mentions(guest.load({}), "empty"));
  CHECK(mentions(guest.load(Image(100000)), "neither bzImage, PVH ELF nor Multiboot"));
}

TEST_CASE("A missing, empty or odd file names itself and its role") {
  CHECK(mentions(MappedFile::open("/nonexistent/vmlinuz", "kernel"),
                 "cannot open the kernel '/nonexistent/vmlinuz': No such file"));
  CHECK(mentions(MappedFile::open("/dev/null", "kernel"), "not a regular file"));
  CHECK(mentions(MappedFile::open("/", "initrd"), "initrd '/'"));
  std::string path = (std::filesystem::temp_directory_path() / "lodge-empty-XXXXXX").string();
  const Fd fd(::mkstemp(path.data()));
  REQUIRE(fd.valid());
  CHECK(mentions(MappedFile::open(path, "kernel"), "is empty"));
  REQUIRE(write_all(fd.get(), "abc"));
  const auto mapped = MappedFile::map(fd.get(), path, "kernel");
  REQUIRE(mapped);
  CHECK(mapped->bytes().size() == 3);
  std::filesystem::remove(path);
}

TEST_CASE("The e820 map covers RAM around the holes") {
  E820Config config;
  config.ram_size = 5 * kGiB;
  config.ecam_base = 0xe0000000;
  config.ecam_size = 256 * kMiB;
  config.acpi_base = 3 * kGiB - kMiB;
  config.acpi_size = kMiB;
  const auto map = build_e820(config);
  uint64_t ram = 0;
  for (size_t i = 0; i < map.size(); ++i) {
    ram += map[i].type == E820Type::ram ? map[i].size : 0;
    CHECK((i == 0 || map[i].base >= map[i - 1].base + map[i - 1].size));
  }
  CHECK(ram == 5 * kGiB - kMiB - (kMiB - kLowMemoryEnd));
  CHECK(map.back().base == 4 * kGiB);
  CHECK(map.back().size == 2 * kGiB);
  CHECK(ram_ranges(5 * kGiB).size() == 2);
  CHECK(ram_ranges(3 * kGiB).size() == 1);
}

TEST_CASE("A real bzImage is accepted when one was fetched for the guests") {
  const std::string path = LODGE_TREE "/build/guest/vmlinuz";
  if (!std::filesystem::exists(path)) {
    return;
  }
  const auto file = MappedFile::open(path, "kernel");
  REQUIRE(file);
  const Guest guest(512 * kMiB);
  CHECK(guest.load(Image(file->bytes().begin(), file->bytes().end()), "console=ttyS0"));
}

}  // namespace lodge
