// step04_messages.hpp - what the tests of refusals in more than one file need.
#pragma once

#include <string>

#include <kvlab/cuda/ladders.hpp>

namespace kvlab::test {

// Heads [R, heads, D] that lie `apart` floats apart, and the numbers of one `step`.
inline View<float> loose(const View<float>& heads, Index apart, Index step = 1) {
    return {heads.data(), heads.shape(), {heads.stride(0), apart, step, 0}};
}

// What a rung says to a block size, by its row of the table; empty: it takes it.
inline std::string refusal(const Rung& rung, const std::string& operation, int block) {
    const std::string wants = operation + ": this kernel wants ";
    if (rung.blocks.size() == 1 && block != rung.blocks[0])
        return wants + (rung.blocks[0] == 1 ? std::string("one thread")
                                            : concat(rung.blocks[0], " threads"));
    if (block % rung.multiple != 0)
        return wants + concat("a multiple of ", rung.multiple, " threads, found ", block);
    if (rung.power_of_two && (block & (block - 1)) != 0)
        return wants + concat("a power of two of threads, found ", block);
    return "";
}

}  // namespace kvlab::test
