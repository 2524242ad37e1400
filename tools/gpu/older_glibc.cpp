// older_glibc.cpp - what GCC's static libraries take from glibc 2.35 and 2.36, written with
// what 2.34 has. tools/gpu.sh links it into the programs that it carries elsewhere, so that
// they start there.
//
// The names are given to the assembler alone: glibc's headers declare them otherwise, and
// nothing but the program itself may find these here.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/random.h>

#include <cstdint>
#include <cstdlib>

#define KVLAB_AS(name) __asm__(name) __attribute__((visibility("hidden")))

extern "C" {
std::uint32_t kvlab_arc4random() KVLAB_AS("arc4random");
}

// For std::random_device, which is linked whenever a std::runtime_error is.
std::uint32_t kvlab_arc4random() {
    std::uint32_t bits = 0;
    if (getrandom(&bits, sizeof bits, 0) != sizeof bits) std::abort();
    return bits;
}

#if __GLIBC_PREREQ(2, 35)

extern "C" {
int kvlab_find_object(void* address, dl_find_object* result) KVLAB_AS("_dl_find_object");
}

namespace {

struct Search {
    std::uintptr_t address;
    dl_find_object* result;
};

// 1, with the result filled in, if the address is inside of this program or library.
int look_into(dl_phdr_info* object, std::size_t, void* data) {
    const auto& search = *static_cast<Search*>(data);
    bool inside = false;
    *search.result = {};
    for (int i = 0; i < object->dlpi_phnum; ++i) {
        const ElfW(Phdr)& part = object->dlpi_phdr[i];
        const std::uintptr_t begin = object->dlpi_addr + part.p_vaddr;
        if (part.p_type == PT_GNU_EH_FRAME)
            search.result->dlfo_eh_frame = reinterpret_cast<void*>(begin);
        if (part.p_type != PT_LOAD || search.address - begin >= part.p_memsz) continue;
        inside = true;
        search.result->dlfo_map_start = reinterpret_cast<void*>(begin);
        search.result->dlfo_map_end = reinterpret_cast<void*>(begin + part.p_memsz);
    }
    return inside && search.result->dlfo_eh_frame != nullptr ? 1 : 0;
}

}  // namespace

// Whoever throws asks for the tables of the code that is at the address.
int kvlab_find_object(void* address, dl_find_object* result) {
    Search search{reinterpret_cast<std::uintptr_t>(address), result};
    return dl_iterate_phdr(look_into, &search) == 1 ? 0 : -1;
}

#endif
