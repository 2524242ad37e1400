// loose_engine.hpp - chapter 3: why bits change. An engine that breaks the numeric contract on
// purpose, in one way at a time, as fast libraries break it by accident.
//
// A library has one kernel for the single row of decoding and another for the many rows of a
// prompt; each is right, and they round differently. Then a cached run (one row per token) and
// an uncached one (many rows) cannot agree in every bit. Here a single row is computed as the
// contract says, many rows in another way.
#pragma once

#include <memory>
#include <string>

#include <kvlab/attention/engine.hpp>

namespace kvlab {

enum class Switch {
    none,         // the contract holds
    order,        // many rows: the depth is cut in two halves, each summed apart, then added
    contraction,  // many rows: the product is rounded before it is added (no fma)
    f16,          // many rows: the sum is rounded to F16 after each quarter of the depth
    split,        // one row: attention's slots are cut in pieces of 16; see split_store.hpp
};

inline constexpr Switch kSwitches[] = {Switch::none, Switch::order, Switch::contraction,
                                       Switch::f16, Switch::split};

const char* switch_name(Switch which);         // "order"
Switch parse_switch(const std::string& name);  // Throws Error for another name.

// Wraps an engine; changes its matrix products by `which`, and nothing for none and split.
std::unique_ptr<Engine> make_loose_engine(std::unique_ptr<Engine> engine, Switch which);

}  // namespace kvlab
