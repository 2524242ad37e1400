// registry.hpp - chapter 5: every policy by its name, for tests and programs to loop over.
#pragma once

#include <memory>
#include <string>

#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/slot_cache.hpp>

namespace kvlab {

// What a store is made for.
struct PolicyContext {
    KvShape shape;
    Index capacity = 0;               // slots, or tokens of the text; see slot_cache.hpp
    const RopeTable* rope = nullptr;  // for relative positions; must outlive the store
    SimdLevel level = default_simd_level();
    std::shared_ptr<const FutureShares> future;  // for the oracle
    Reduce reduce = Reduce::mean;
    Index prompt = 0;  // SlotCacheOptions::prompt
    // How a policy's slots are kept. Stores that are no SlotCache keep floats and refuse
    // another.
    MakeRows make_rows = nullptr;  // null: as floats
};

PolicyContext policy_context(const Decoder& decoder, Index capacity);

struct PolicyEntry {
    const char* name;
    const char* idea;   // in a few words
    const char* paper;  // authors, year, arXiv
    bool streams;       // forgets, if anything, after every step; otherwise once
    std::unique_ptr<PolicyStore> (*make)(const PolicyContext&, const PolicyOptions&);
};

std::span<const PolicyEntry> all_policies();

// Throws Error, listing all names, for another one.
const PolicyEntry& find_policy(const std::string& name);

}  // namespace kvlab
