// thread_ranks.hpp - chapter 7: ranks that are threads of one process, with a board between
// them. Nothing has to be installed or started for it, so tests use it.
#pragma once

#include <functional>

#include <kvlab/serving/ranks.hpp>

namespace kvlab {

// Calls `work` in so many threads at once, each with its own end, and comes back when all of
// them have. If one throws, the others cannot get what they wait for: each of them gets an
// Error that names the rank, out of the call in which it waits. The first exception of all is
// then thrown here. Throws Error unless there are 1 to 64 ranks.
void run_thread_ranks(Index ranks, const std::function<void(Ranks&)>& work);

}  // namespace kvlab
