// trace_flags.hpp - chapter 7: the flags of subcommands that take requests from a trace.
#pragma once

#include <string>

#include <kvlab/serving/make_trace.hpp>
#include <kvlab/tensor/program.hpp>

namespace kvlab::app {

inline CLI::Option* add_kind_flag(CLI::App& app, std::string& kind) {
    std::vector<std::string> names;
    for (const TraceKind& one : trace_kinds()) names.emplace_back(one.name);
    return app.add_option("--kind", kind, "which service")
        ->check(CLI::IsMember(names))
        ->capture_default_str();
}

}  // namespace kvlab::app
