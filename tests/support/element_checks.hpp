// element_checks.hpp - what the numbers of every cache have in common: a place is inside, or it
// is refused.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab::test {

// A cache of `ends` [layers, KV heads, tokens, head_dim]: its last key and value can be read,
// and nothing before the first or behind the last of any axis. `name` begins the message.
template <class Cache>
void check_elements(const Cache& cache, const std::string& name, const Index (&ends)[4]) {
    const Index last[] = {ends[0] - 1, ends[1] - 1, ends[2] - 1, ends[3] - 1};
    CHECK_NOTHROW(cache.key(last[0], last[1], last[2], last[3]));
    CHECK_NOTHROW(cache.value(last[0], last[1], last[2], last[3]));
    for (std::size_t axis = 0; axis < 4; ++axis)
        for (const Index outside : {Index{-1}, ends[axis]}) {
            Index at[] = {last[0], last[1], last[2], last[3]};
            at[axis] = outside;
            const std::string said = concat(name, ": there is no element [", at[0], ", ", at[1],
                                            ", ", at[2], ", ", at[3], "]");
            CHECK_THROWS_WITH_AS(cache.key(at[0], at[1], at[2], at[3]), said.c_str(), Error);
            CHECK_THROWS_WITH_AS(cache.value(at[0], at[1], at[2], at[3]), said.c_str(), Error);
        }
}

}  // namespace kvlab::test
