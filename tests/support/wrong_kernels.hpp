// wrong_kernels.hpp - a kernel that does something wrong, and what the executor must say to it.
#pragma once

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include <kvlab/cuda/simt.hpp>

#include "simt_support.hpp"
#include "skip.hpp"

namespace kvlab::test {

struct WrongKernel {
    TestKernel kernel;
    const char* file;
    simt::FaultKind kind;
    const char* memory;  // name in the report
    dim3 grid, block;
    std::size_t dynamic_shared = 0;
    bool cooperative = false;
};

inline void run_wrong(TestData& data, const WrongKernel& wrong) {
    if (wrong.cooperative)
        data.run_cooperative(wrong.kernel, wrong.grid, wrong.block, wrong.dynamic_shared);
    else
        data.run(wrong.kernel, wrong.grid, wrong.block, wrong.dynamic_shared);
}

// The line of `file`, from 1, that ends the search for `mark` in this kernel: "// FAULT", or
// with the kernel's name behind it where the line is in another function.
inline int marked_line(const WrongKernel& wrong, const std::string& mark) {
    std::ifstream file(std::string(KVLAB_SOURCE_DIR "/tests/simt_kernels/") + wrong.file);
    REQUIRE(file.good());
    std::string line;
    bool inside = false;
    int found = 0, number = 0;
    while (std::getline(file, line)) {
        ++number;
        if (line.find("__global__") == 0)
            inside = line.find(concat(" ", wrong.kernel.name, "(")) != std::string::npos;
        const std::size_t comment = line.find("//");
        if (comment == std::string::npos || line.find(mark, comment) == std::string::npos)
            continue;
        const std::size_t of = line.find(" of ", comment);
        if (of == std::string::npos ? inside : line.substr(of + 4) == wrong.kernel.name)
            found = number;
    }
    return found;
}

inline void check_report(const WrongKernel& wrong) {
    CAPTURE(wrong.kernel.name);
    TestData data;
    if (wrong.kind == simt::FaultKind::write_to_frozen) device_freeze(data.in.get());
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, nullptr});
    try {
        run_wrong(data, wrong);
        FAIL_CHECK("nothing was reported");
    } catch (const simt::Fault& fault) {
        CAPTURE(std::string(fault.what()));
        CHECK(simt::fault_name(fault.kind) == simt::fault_name(wrong.kind));
        CHECK(fault.kernel == wrong.kernel.name);
        CHECK(fault.memory == wrong.memory);
        CHECK(fault.place.file == wrong.file);
        const int line = marked_line(wrong, "FAULT");
        REQUIRE(line > 0);
        CHECK(fault.place.line == line);
        CHECK(fault.other.line == marked_line(wrong, "OTHER"));
        // The message alone says it all, too.
        for (const std::string& part :
             {concat(wrong.file, ":", line, ": "), simt::fault_name(wrong.kind),
              concat("kernel '", wrong.kernel.name, "'"), std::string("thread (")})
            CHECK(std::string(fault.what()).find(part) != std::string::npos);
        CHECK(std::string(fault.what()).find('\n') == std::string::npos);
    }
}

// Every wrong kernel must be found in any order of threads, though perhaps at the other end.
inline void check_found_in_any_order(const WrongKernel& wrong) {
    CAPTURE(wrong.kernel.name);
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        CAPTURE(seed);
        TestData data;
        if (wrong.kind == simt::FaultKind::write_to_frozen) device_freeze(data.in.get());
        const simt::Use use({simt::Mode::checked,
                             seed == 0 ? simt::Order::reverse : simt::Order::shuffled, seed,
                             nullptr});
        CHECK_THROWS_AS(run_wrong(data, wrong), simt::Fault);
    }
}

inline void check_all(const std::vector<WrongKernel>& kernels) {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    for (const WrongKernel& wrong : kernels) {
        check_report(wrong);
        check_found_in_any_order(wrong);
    }
}

}  // namespace kvlab::test
