// step05_messages.hpp - what the tests of refusals in more than one file need.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <type_traits>

#include <kvlab/policies/policies.hpp>

#include "random_steps.hpp"

namespace kvlab::test {

// The options with one of them changed.
template <class T>
PolicyOptions with(T PolicyOptions::*field,
                   std::type_identity_t<T> value,
                   PolicyOptions options = {}) {
    options.*field = value;
    return options;
}

}  // namespace kvlab::test
