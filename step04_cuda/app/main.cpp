// step04_cuda - chapter 4: so far the executor shows itself.
#include <kvlab/attention/command_line.hpp>

#include "app.hpp"

int main(int argc, char** argv) {
    CLI::App app{
        "Chapter 4: CUDA kernels on a CPU. Without a subcommand: simt.\n"
        "Exit codes: 0 holds, 1 does not hold or an error, 2 wrong usage.",
        "step04_cuda"};
    app.add_subcommand("simt", "the executor: a right kernel's counters, a wrong one's report");
    app.require_subcommand(0, 1);
    return kvlab::cli::run(app, argc, argv, kvlab::app::run_simt);
}
