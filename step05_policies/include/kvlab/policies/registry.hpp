// registry.hpp - chapter 5: every policy by its name, for tests and programs to loop over.
//
// A policy is one file in src/policies/, name.cpp, which ends with policies_of_name(): what it
// is called, what it needs and how it is made. CMake finds the file and lists that function; no
// other file names the policy.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/slot_cache.hpp>

namespace kvlab {

// What a store is made for.
struct PolicyContext {
    KvShape shape;
    Index capacity = 0;               // slots, or tokens of the text; see slot_cache.hpp
    const RopeTable* rope = nullptr;  // for angles that a store gives; must outlive it
    SimdLevel level = default_simd_level();
    std::shared_ptr<const FutureShares> future;            // for those that need it
    std::shared_ptr<const Reconstruction> reconstruction;  // of the prompt; the same
    Reduce reduce = Reduce::mean;
    Index prompt = 0;  // SlotCacheOptions::prompt
    // How a policy's slots are kept. Stores that are no SlotCache keep floats
    // and refuse another.
    MakeRows make_rows = nullptr;  // null: as floats
};

PolicyContext policy_context(const Decoder& decoder, Index capacity);

// An option of one policy alone: a flag of the programs, and PolicyOptions::own under its name.
struct OwnOption {
    const char* name;  // "decay", for --decay
    const char* text;  // what --help says
    double value;      // if it is not given
    double least, most;
};

struct PolicyEntry {
    Index place;  // in tables and lists, which are sorted by it
    const char* name;
    const char* idea;   // in a few words
    const char* paper;  // authors, year, arXiv

    // A policy that rates the slots of a SlotCache says how it is made,
    PolicyPointer (*policy)(const PolicyOptions&, const PolicyContext&) = nullptr;
    // and a store of its own what it is, and the bytes that it holds for `length` tokens.
    std::unique_ptr<PolicyStore> (*store)(const PolicyOptions&, const PolicyContext&) = nullptr;
    Index (*bytes)(const PolicyOptions&, const KvShape&, Index length) = nullptr;

    PositionScheme scheme = PositionScheme::absolute;  // relative: a model with RoPE is needed
    bool needs_future = false;                         // PolicyContext::future
    bool reconstructs = false;                         // PolicyContext::reconstruction
    bool draws = false;                                // results depend on PolicyOptions::seed
    // Forgets, if anything, after every step; false: once, after the prompt.
    bool streams = true;
    // Whether options.budget decides how many tokens stay, and above which budget.
    bool has_budget = true;
    Index (*budget_above)(const PolicyOptions&) = nullptr;  // null: 0
    std::span<const OwnOption> own_options = {};

    // Throws Error for options that contradict each other, for a store of its own that is to
    // keep anything but floats, and as SlotCache does.
    std::unique_ptr<PolicyStore> make(const PolicyContext& context,
                                      const PolicyOptions& options) const;

    // Whether the text, or its prompt, has to be run before its store is made.
    bool looks_ahead() const { return needs_future || reconstructs; }

    // Whether a model can run it.
    bool runs(const Config& config) const {
        return scheme == PositionScheme::absolute || config.rope_dim > 0;
    }
};

// Runs what this policy has to know: the whole text for a future, or its prompt, the first
// context.prompt tokens or else all, for a reconstruction.
void look_ahead(PolicyContext& context,
                const PolicyEntry& entry,
                const PolicyOptions& options,
                Decoder& decoder,
                std::span<const Token> text);

// The policy that keeps everything: what all others are judged against.
inline constexpr const char* kFull = "full";

// By place.
std::span<const PolicyEntry> all_policies();

// Throws Error, listing all names, for another one.
const PolicyEntry& find_policy(const std::string& name);

}  // namespace kvlab
