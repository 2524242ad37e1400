// accounting.hpp - chapter 7: what pages cost and what prefixes save, counted with the real
// pool, the real scheduler and the real indexes, and without a model: nobody computes anything.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <kvlab/serving/prefix_index.hpp>
#include <kvlab/serving/scheduler.hpp>
#include <kvlab/serving/trace.hpp>

namespace kvlab {

// Of all steps of a run. A slot is space for one token's keys and values in all layers.
struct PageWaste {
    Index page_slots = 0;
    Index steps = 0, preempted = 0;
    double held = 0, needed = 0;  // slots, on average: of pages in use; that hold a token
    double texts = 0;             // in a step, on average

    double wasted() const { return held > 0 ? 1 - needed / held : 0; }
};

// Serves a trace, all requests at once and each prompt in one step, from a pool of `slots`
// slots in pages of `page_slots`. With pages as large as the context, that is a contiguous
// reservation for each text. Throws Error as Scheduler::add() does.
PageWaste count_waste(const RequestTrace& trace, Index slots, Index page_slots);

// The whole blocks of `block` tokens of each prompt, as numbers: two are the same if and only
// if their tokens are, and all before them.
std::vector<std::vector<Token>> number_blocks(const RequestTrace& trace, Index block);

struct PrefixHits {
    Index asked = 0, found = 0, evicted = 0;  // blocks

    double rate() const {
        return asked > 0 ? static_cast<double>(found) / static_cast<double>(asked) : 0;
    }
};

using MakeIndex = std::function<std::unique_ptr<PrefixIndex>(PagePool& pool)>;

// One prompt after the other through an index whose pool has `pages` pages of one block each.
// Throws Error if a prompt alone has more blocks than that.
PrefixHits count_hits(std::span<const std::vector<Token>> prompts,
                      Index pages,
                      const MakeIndex& make_index);

// The same, if a plain list of `pages` blocks is kept in the order of their last use, and knows
// nothing of what goes on from what (LRU). 0 pages: nothing is ever forgotten.
PrefixHits count_lru_hits(std::span<const std::vector<Token>> prompts, Index pages);

}  // namespace kvlab
