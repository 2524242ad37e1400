// step01_tensor - chapter 1: the numeric contract at work, and how fast this machine can be.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
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

std::string verdict(bool ok) {
    const char* wish = std::getenv("NO_COLOR");
    const bool colour = isatty(STDOUT_FILENO) && (wish == nullptr || *wish == '\0');
    if (!colour) return ok ? "yes" : "NO";
    return ok ? "\033[32myes\033[0m" : "\033[31mNO\033[0m";
}

std::string pad(const std::string& text, std::size_t width, bool right) {
    const std::string blanks(text.size() < width ? width - text.size() : 0, ' ');
    return right ? blanks + text : text + blanks;
}

}  // namespace kvlab::app

namespace {

using namespace kvlab;

int run(const CLI::App& cli, Index threads, const std::string& json) {
    const auto wanted = [&](const char* name) {
        const std::string part = name;
        return cli.get_subcommands().empty() ? part != "goldens" && part != "ladder"
                                             : cli.got_subcommand(part);
    };
    Json report = new_report("step01_tensor", app::kSeed);
    std::string result;
    bool ok = true;
    if (wanted("contract")) ok = app::run_contract(report, result) && ok;
    if (wanted("goldens")) ok = app::run_goldens(report, result) && ok;
    if (wanted("matmul")) ok = app::run_matmul(report, result) && ok;
    if (wanted("ladder")) ok = app::run_ladder(threads, report, result) && ok;
    if (wanted("roofline")) ok = app::run_roofline(threads, report, result) && ok;
    report["ok"] = ok;
    if (!json.empty()) write_json(json, report);
    std::cout << "RESULT ok=" << (ok ? "yes" : "no") << result << std::endl;
    if (!std::cout) throw Error("standard output: cannot write");
    return ok ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App cli{
        "Chapter 1: one product, all paths, one checksum; and this machine's roofline.\n"
        "Without a subcommand: contract, matmul and roofline.\n"
        "Exit codes: 0 all claims hold, 1 one does not (or an error), 2 wrong usage."};
    Index threads = 2;
    std::string json;
    cli.add_option("--threads", threads,
                   "threads of the roofline's second column and of the ladder's last rung")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    cli.add_option("--json", json, "also write the figures to this file");
    cli.fallthrough();  // options may stand behind the subcommand, too
    cli.add_subcommand("contract", "one product by all paths, and reassociated");
    cli.add_subcommand("goldens", "the golden values of chapter 1 (exact on every machine)");
    cli.add_subcommand("matmul", "GFLOP/s of the plain and of the packed product");
    cli.add_subcommand("ladder", "from the plain product to the fast one, rung by rung");
    cli.add_subcommand("roofline", "peak fma and memory bandwidth of this machine");
    cli.require_subcommand(0, 1);
    try {
        cli.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return cli.exit(error) == 0 ? 0 : 2;
    }
    try {
        return run(cli, threads, json);
    } catch (const std::exception& error) {
        std::cerr << "step01_tensor: " << error.what() << std::endl;
        return 1;
    }
}
