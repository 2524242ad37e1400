// program_image.cpp - chapter 4: reads the symbol table of the program's ELF file.
#include "program_image.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace kvlab::simt {

namespace {

std::string own_path() {
    char path[4096];
    const auto length = readlink("/proc/self/exe", path, sizeof path);
    return length > 0 ? std::string(path, static_cast<std::size_t>(length)) : std::string();
}

// A table of `count` plain records at `offset` of the file; empty if it is not all there.
template <class Record>
std::vector<Record> read_table(std::ifstream& file, std::uint64_t offset, std::uint64_t count) {
    std::vector<Record> table(count);
    file.clear();
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(reinterpret_cast<char*>(table.data()),
              static_cast<std::streamsize>(count * sizeof(Record)));
    if (!file) table.clear();
    return table;
}

// The text at `offset` of a table of strings that end with 0.
std::string text_at(const std::vector<char>& table, std::size_t offset) {
    if (offset >= table.size()) return {};
    const auto first = table.begin() + static_cast<std::ptrdiff_t>(offset);
    return {first, std::find(first, table.end(), '\0')};
}

// GCC puts the static variables of templates elsewhere, whatever section they ask for; but
// their names tell that they belong to a function of a kernel's namespace.
bool is_shared_array(const std::string& name, const std::string& section) {
    return section.starts_with("kvlab_shared_") || name.starts_with("_ZZN5kvlab3raw") ||
           name.starts_with("_ZZN5kvlab7checked");
}

}  // namespace

const ProgramImage& ProgramImage::instance() {
    static const ProgramImage image;
    return image;
}

ProgramImage::ProgramImage() : path_(own_path()) {
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* self) {
            auto& image = *static_cast<ProgramImage*>(self);
            const bool program = image.base_ == 0;  // it is the first of the list
            std::uintptr_t lowest = UINTPTR_MAX;
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                const auto& part = info->dlpi_phdr[i];
                if (part.p_type != PT_LOAD) continue;
                const std::uintptr_t begin = info->dlpi_addr + part.p_vaddr;
                lowest = std::min(lowest, begin);
                if ((part.p_flags & PF_W) == 0)
                    image.constant_.push_back({begin, begin + part.p_memsz});
            }
            if (program) image.base_ = lowest, image.load_bias_ = info->dlpi_addr;
            return 0;
        },
        this);
    read_symbols();
}

void ProgramImage::read_symbols() {
    std::ifstream file(path_, std::ios::binary);
    const auto header = read_table<ElfW(Ehdr)>(file, 0, 1);
    if (header.empty()) return;
    const auto sections = read_table<ElfW(Shdr)>(file, header[0].e_shoff,
                                                 static_cast<std::uint64_t>(header[0].e_shnum));
    if (header[0].e_shstrndx >= sections.size()) return;
    const auto& names_at = sections[header[0].e_shstrndx];
    const auto names = read_table<char>(file, names_at.sh_offset, names_at.sh_size);
    for (const auto& section : sections) {
        if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
        const auto symbols =
            read_table<ElfW(Sym)>(file, section.sh_offset, section.sh_size / sizeof(ElfW(Sym)));
        const auto& texts_at = sections[section.sh_link];
        const auto texts = read_table<char>(file, texts_at.sh_offset, texts_at.sh_size);
        for (const auto& symbol : symbols) {
            if (symbol.st_shndx >= sections.size() || symbol.st_size == 0) continue;
            const int type = ELF64_ST_TYPE(symbol.st_info);
            const std::uintptr_t begin = load_bias_ + symbol.st_value;
            const Symbol entry{begin, begin + symbol.st_size, text_at(texts, symbol.st_name)};
            const auto& home = sections[symbol.st_shndx];
            if (type == STT_FUNC)
                functions_.push_back(entry);
            else if (type == STT_OBJECT && (home.sh_flags & SHF_WRITE) != 0 &&
                     is_shared_array(entry.name, text_at(names, home.sh_name)))
                shared_.push_back(entry);
        }
    }
    const auto by_address = [](const Symbol& a, const Symbol& b) { return a.begin < b.begin; };
    std::sort(shared_.begin(), shared_.end(), by_address);
    std::sort(functions_.begin(), functions_.end(), by_address);
}

std::vector<Symbol> ProgramImage::shared_arrays_of(const void* function) const {
    const auto address = reinterpret_cast<std::uintptr_t>(function);
    std::vector<Symbol> arrays;
    auto at = std::lower_bound(
        functions_.begin(), functions_.end(), address,
        [](const Symbol& symbol, std::uintptr_t begin) { return symbol.begin < begin; });
    for (; at != functions_.end() && at->begin == address; ++at) {
        if (!at->name.starts_with("_Z")) continue;
        // The Itanium ABI's name of a variable that is local to function _Zxyz: _ZZxyzE...
        const std::string prefix = "_ZZ" + at->name.substr(2) + "E";
        for (const Symbol& array : shared_)
            if (array.name.starts_with(prefix)) arrays.push_back(array);
        break;
    }
    return arrays;
}

bool ProgramImage::is_constant(std::uintptr_t address, std::size_t bytes) const {
    return std::any_of(constant_.begin(), constant_.end(), [&](const Range& range) {
        return address >= range.begin && address + bytes <= range.end;
    });
}

std::string variable_name(const std::string& symbol) {
    int status = 0;
    char* text = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
    if (text == nullptr) return symbol;
    const std::string name = text;
    std::free(text);
    const std::size_t colons = name.rfind("::");
    return colons == std::string::npos ? name : name.substr(colons + 2);
}

}  // namespace kvlab::simt
