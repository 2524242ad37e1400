// program_image.hpp - chapter 4: what the running program's own file tells: the names and sizes
// of shared arrays, and the source line of an instruction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <kvlab/cuda/simt.hpp>

namespace kvlab::simt {

// A function or a variable of the program, at its address in memory.
struct Symbol {
    std::uintptr_t begin = 0, end = 0;
    std::string name;  // as the linker knows it
};

class ProgramImage {
public:
    static const ProgramImage& instance();

    // Shared arrays of all kernels in both variants, by address.
    const std::vector<Symbol>& shared_arrays() const { return shared_; }

    // Those that the body of this function declares; not those of functions that it calls.
    std::vector<Symbol> shared_arrays_of(const void* function) const;

    // Whether this is constant data, such as a table that a kernel reads.
    bool is_constant(std::uintptr_t address, std::size_t bytes) const;

    // An instruction as a distance from the program's beginning, which fits 32 bits; and back.
    std::uint32_t offset(const void* pc) const {
        return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(pc) - base_);
    }

    const void* at(std::uint32_t offset) const {
        return reinterpret_cast<const void*>(base_ + offset);
    }

    // For each return address the line of the call before it. Where the compiler has put our
    // own headers' functions into a kernel, it is the kernel's line that counts.
    std::vector<Fault::Place> places(std::span<const void* const> return_addresses) const;

private:
    ProgramImage();
    void read_symbols();

    struct Range {
        std::uintptr_t begin, end;
    };

    std::string path_;
    std::uintptr_t base_ = 0, load_bias_ = 0;
    std::vector<Range> constant_;
    std::vector<Symbol> shared_, functions_;
};

// "tile" of "_ZZN5kvlab7checked9transposeEPfE4tile".
std::string variable_name(const std::string& symbol);

}  // namespace kvlab::simt
