// ways.hpp - chapter 7: six ways to serve the same requests, each with one idea more than the
// one before it.
#pragma once

#include <span>
#include <string>

#include <kvlab/serving/scheduler.hpp>

namespace kvlab {

struct Way {
    const char* name;
    const char* what;
    Batching batching;
    bool prefixes, chunked, speculation;

    // The other options as they are given; `draft_tokens` only where there is speculation.
    SchedulerOptions options(SchedulerOptions options) const;
};

std::span<const Way> serving_ways();

// Throws Error, with all names, if there is none of this name.
const Way& find_way(const std::string& name);

}  // namespace kvlab
