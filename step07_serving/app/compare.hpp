// compare.hpp - chapter 7: the same requests in one way after the other, and what came of it.
#pragma once

#include <vector>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/serving/alone.hpp>
#include <kvlab/serving/replay.hpp>
#include <kvlab/serving/ways.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

struct ComparedWay {
    const Way* way = nullptr;
    Replayed replayed = {};
    SchedulerCounts counts = {};
    Index pages_most_used = 0;
    Difference logits = {};  // against every request alone
    Index tokens_differ = 0;
    std::vector<double> rates = {};  // [rounds] of tokens per second
};

// The round of the median speed (of two, the slower), with what all of them compared, and
// their speeds. The rounds of one way, in the order in which they ran.
ComparedWay median_round(const std::vector<ComparedWay>& rounds);

void print_ways(const std::vector<ComparedWay>& ways);
Json to_json(const ComparedWay& compared);

// Each text begins with one of four system prompts; then comes a question of its own, and the
// answer has a length of its own. A trace as chats make it, small enough to be run in a second.
RequestTrace chat_trace(Index requests, std::uint64_t seed);

}  // namespace kvlab::app
