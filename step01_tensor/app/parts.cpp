// parts.cpp - chapter 1: the program's own flags, and its parts: the one that was asked for, or
// all that run without a subcommand.
#include <iostream>
#include <map>
#include <utility>
#include <vector>

#include "app.hpp"

#include <kvlab/tensor/random.hpp>

namespace kvlab::app {

namespace {

// The same for every part, wherever they stand in the command line.
PartFlags& part_flags() {
    static PartFlags flags;
    return flags;
}

std::multimap<int, const Part*>& parts_by_place() {
    static std::multimap<int, const Part*> parts;
    return parts;
}

int run_parts(const std::vector<const Part*>& parts) {
    Json report = new_report("step01_tensor", kSeed);
    std::string result;
    bool ok = true;
    for (const Part* part : parts) ok = part->run(part_flags(), report, result) && ok;
    report["ok"] = ok;
    write_json(part_flags().json, report);
    std::cout << "RESULT ok=" << (ok ? "yes" : "no") << result << std::endl;
    return ok ? cli::kHolds : cli::kFails;
}

int run_without_subcommand() {
    std::vector<const Part*> parts;
    for (const auto& entry : parts_by_place())
        if (entry.second->by_default) parts.push_back(entry.second);
    return run_parts(parts);
}

cli::Subcommand::Run add_part_flags(CLI::App& app) {
    PartFlags& flags = part_flags();
    cli::add_count(app, "--threads", flags.threads, {1, 256},
                   "threads of the roofline's second column and of the ladder's last rung");
    cli::add_count(app, "--rounds", flags.rounds, {1, 1 << 20},
                   "of matmul, in which the product and the peak take turns");
    cli::add_json_flag(app, flags.json);
    app.fallthrough();  // they may stand behind the subcommand, too
    return run_without_subcommand;
}

const cli::Subcommand kParts{{.by_default = true}, add_part_flags};

}  // namespace

// The program has one default of its own: all of these parts together.
Part::Part(cli::About about, Run run_part)
    : run(run_part),
      by_default(std::exchange(about.by_default, false)),
      subcommand(about, [this] { return run_parts({this}); }) {
    parts_by_place().emplace(about.place, this);
}

Tensor random_matrix(Index rows, Index columns, std::uint64_t seed) {
    Tensor t({rows, columns});
    Rng rng(seed);
    for (float& x : t.flat()) x = rng.normal();
    return t;
}

std::string pad(const std::string& text, std::size_t width, bool right) {
    const std::string blanks(text.size() < width ? width - text.size() : 0, ' ');
    return right ? blanks + text : text + blanks;
}

}  // namespace kvlab::app
