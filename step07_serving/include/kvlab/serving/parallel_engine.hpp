// parallel_engine.hpp - chapter 7: an engine that has a part of every matrix, and fetches from
// the other ranks what it needs of theirs.
//
// The decoder of chapter 2 does not change. On every rank it runs the same steps on the same
// tokens; only the engine below it computes a part of each product (parallel_plan.hpp). One
// layer, with the places where numbers travel:
//
//   norm            whole on every rank: C numbers are too few to share
//   query, key, value, RoPE, cache, attention        each rank its own heads
//      ~~~~ heads travel ~~~~
//   output          each rank its own rows of C
//      ~~~~ rows travel ~~~~
//   add, norm       whole
//   gate, up, SwiGLU                                 each rank its own part of F
//      ~~~~ hidden travels ~~~~
//   down            each rank its own rows of C
//      ~~~~ rows travel ~~~~
//   add             whole
//
// That is SumWay::gather. The other ways leave the heads and the hidden numbers where they
// are, and let sums of blocks of 64 of them travel (split_sums.hpp).
//
// What is not gathered exists on its own rank alone: an Observer of one rank sees its own
// queries, keys, values, heads and hidden numbers there, and nothing useful elsewhere.
#pragma once

#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/serving/parallel_plan.hpp>
#include <kvlab/serving/ranks.hpp>

namespace kvlab {

// The engine of this rank around one of this machine. All ranks have to load the same model and
// to run the same steps. `ranks` must outlive it. Throws Error unless the plan is one for so
// many ranks, and for an engine whose memory is not the caller's to read (a GPU).
std::unique_ptr<Engine> make_parallel_engine(std::unique_ptr<Engine> engine,
                                             Ranks& ranks,
                                             const ParallelPlan& plan,
                                             SumWay way = SumWay::gather);

}  // namespace kvlab
