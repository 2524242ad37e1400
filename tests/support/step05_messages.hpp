// step05_messages.hpp - what the tests of refusals in more than one file need.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <type_traits>

#include <kvlab/policies/policies.hpp>

#include "layer_rows.hpp"

namespace kvlab::test {

// The options with one of them changed.
template <class T>
PolicyOptions with(T PolicyOptions::*field,
                   std::type_identity_t<T> value,
                   PolicyOptions options = {}) {
    options.*field = value;
    return options;
}

// A step of 2 tokens that gets rows of other numbers of tokens first, and then its own.
inline void append_wrong_steps(KvStore& store, const std::string& name) {
    const LayerRows one(0, 1, 1), two(0, 1, 2), three(0, 1, 3);
    const auto append = [&](const LayerRows& rows) {
        store.append(0, rows.k.view(), rows.v.view());
    };
    const std::string before = name + ": a step of 2 tokens, found ";
    store.begin(2);
    CHECK_THROWS_WITH_AS(append(one), (before + "[1, 2, 12]").c_str(), Error);
    CHECK_THROWS_WITH_AS(append(three), (before + "[3, 2, 12]").c_str(), Error);
    CHECK_THROWS_WITH_AS(store.append(0, two.k.view()[0], two.v.view()[0]),
                         (before + "[2, 12]").c_str(), Error);
    CHECK_NOTHROW(append(two));
    store.truncate(0);
}

}  // namespace kvlab::test
