// server_metrics.hpp - chapter 7: what a server has done and what it holds, to be watched.
#pragma once

#include <array>
#include <string>

#include <kvlab/serving/server_ticket.hpp>

namespace kvlab {

struct ServingMetrics {
    Index accepted = 0, refused = 0;  // requests; refused: the queue was full
    std::array<Index, 5> ended = {};  // texts, by EndReason
    Index prompt_tokens = 0, cached_tokens = 0, written_tokens = 0;
    Index pages = 0, pages_free = 0;  // of the pool
    Index pages_kept = 0;             // in use for texts that may come, by the index
    Index waiting = 0, running = 0;   // texts
    Index steps = 0, preempted = 0, drafted = 0, drafts_accepted = 0;
    Index first_tokens = 0;          // texts that have one
    double first_token_seconds = 0;  // from the request to the first token, all together
    double step_seconds = 0;         // inside of steps
};

// In Prometheus' text format, version 0.0.4: a name, a type and one line for each value.
std::string prometheus_text(const ServingMetrics& metrics);

}  // namespace kvlab
