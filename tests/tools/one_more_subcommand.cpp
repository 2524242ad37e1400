// A subcommand for chapter 1's program, as a reader would add one: this file, and nothing else.
#include <kvlab/tensor/subcommand.hpp>

namespace kvlab::app {

namespace {

struct OneMoreFlags {
    Index times = 1;
};

int run_one_more(const OneMoreFlags& flags) {
    std::cout << "RESULT times=" << flags.times << std::endl;
    return cli::kHolds;
}

void add_one_more_flags(CLI::App& app, OneMoreFlags& flags) {
    cli::add_count(app, "--times", flags.times, 1, "how often");
}

const cli::Subcommand kOneMore{{.place = 35, .name = "one-more", .text = "between two others"},
                               add_one_more_flags,
                               run_one_more};

}  // namespace

}  // namespace kvlab::app
