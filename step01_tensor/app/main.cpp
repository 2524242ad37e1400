// step01_tensor - chapter 1: the numeric contract at work, and how fast this machine can be.
#include <iostream>

#include "app.hpp"

#include <kvlab/tensor/random.hpp>

namespace kvlab::app {

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

namespace {

using namespace kvlab;

int run(const CLI::App& app,
        Index threads,
        Index rounds,
        const std::shared_ptr<OutputFile>& json) {
    const auto wanted = [&](const char* name) {
        const std::string part = name;
        return app.get_subcommands().empty() ? part != "goldens" && part != "ladder"
                                             : app.got_subcommand(part);
    };
    Json report = new_report("step01_tensor", app::kSeed);
    std::string result;
    bool ok = true;
    if (wanted("contract")) ok = app::run_contract(report, result) && ok;
    if (wanted("goldens")) ok = app::run_goldens(report, result) && ok;
    if (wanted("matmul")) ok = app::run_matmul(rounds, report, result) && ok;
    if (wanted("ladder")) ok = app::run_ladder(threads, report, result) && ok;
    if (wanted("roofline")) ok = app::run_roofline(threads, report, result) && ok;
    report["ok"] = ok;
    write_json(json, report);
    std::cout << "RESULT ok=" << (ok ? "yes" : "no") << result << std::endl;
    return ok ? cli::kHolds : cli::kFails;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{
        "Chapter 1: one product, all paths, one checksum; and this machine's roofline.\n"
        "Without a subcommand: contract, matmul and roofline.\n"
        "Exit codes: 0 all claims hold, 1 one does not (or an error), 2 wrong usage.",
        "step01_tensor"};
    Index threads = 2, rounds = 25;
    std::shared_ptr<OutputFile> json;
    app.add_option("--threads", threads,
                   "threads of the roofline's second column and of the ladder's last rung")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    app.add_option("--rounds", rounds,
                   "of matmul, in which the product and the peak take turns")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    cli::add_json_flag(app, json);
    app.fallthrough();  // options may stand behind the subcommand, too
    app.add_subcommand("contract", "one product by all paths, and reassociated");
    app.add_subcommand("goldens", "the golden values of chapter 1 (exact on every machine)");
    app.add_subcommand("matmul", "GFLOP/s of the plain and of the packed product");
    app.add_subcommand("ladder", "from the plain product to the fast one, rung by rung");
    app.add_subcommand("roofline", "peak fma and memory bandwidth of this machine");
    app.require_subcommand(0, 1);
    return cli::run(app, argc, argv, [&] { return run(app, threads, rounds, json); });
}
