// step07_parallel - chapter 7: one model on several processes, with the bits of one.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <streambuf>

#include "parallel.hpp"

namespace kvlab::app {

bool started_alike(Ranks& ranks) {
    const Index mine = session()->arguments();
    const std::vector<Index> all = ranks.gather_numbers(mine);
    const bool alike = std::ranges::count(all, all[0]) == ranks.size();
    if (!alike && ranks.rank() == 0)
        say(0, "the ranks were started with different command lines");
    return alike;
}

bool prepared(Ranks& ranks, const std::function<void()>& work) {
    std::string reason;
    try {
        work();
    } catch (const std::exception& error) {
        reason = error.what();
        if (reason.empty()) reason = "an error without a word";
    }
    const std::vector<Index> failed = ranks.gather_numbers(reason.empty() ? 0 : 1);
    for (Index rank = 0; rank < ranks.size(); ++rank) {
        if (at(failed, rank) == 0) continue;
        if (rank == ranks.rank()) say(rank, reason);
        return false;
    }
    return true;
}

int together(Ranks& ranks, const std::function<int()>& work) {
    try {
        return work();
    } catch (const std::exception& error) {
        abort_all(ranks.rank(), error.what());
    }
}

namespace {

// Takes everything and keeps nothing: rank 0 speaks for all.
class Nowhere final : public std::streambuf {
    int_type overflow(int_type c) override { return traits_type::not_eof(c); }

    std::streamsize xsputn(const char*, std::streamsize count) override { return count; }
};

}  // namespace

}  // namespace kvlab::app

int main(int argc, char** argv) {
    using namespace kvlab;
    const app::MpiSession session(argc, argv);
    app::session() = &session;
    app::Nowhere nowhere;
    std::streambuf* const out = std::cout.rdbuf();
    std::streambuf* const err = std::cerr.rdbuf();
    if (session.rank() > 0) {
        std::cout.rdbuf(&nowhere);
        std::cerr.rdbuf(&nowhere);
    }
    if (session.size() > 1) app::end_with_a_word_on_sigterm(session.rank());
    // mpirun reads our output from a terminal of its own, wherever it goes from there.
    if (app::started_as_rank()) ::setenv("NO_COLOR", "1", 1);
    const cli::Program program{
        .name = "step07_parallel",
        .text =
            "Chapter 7: one model on several processes, with the bits of one.\n"
            "  mpirun -n 2 step07_parallel            every matrix is split\n"
            "  mpirun -n 2 step07_parallel handover   one reads prompts, one continues\n"
            "Exit codes: 0 done, 1 does not hold or an error, 2 wrong usage."};
    const int code = program.run(argc, argv);
    // All ranks come here together or not at all. The first exit code other than 0 makes mpirun
    // end the others, which is no news then.
    std::signal(SIGTERM, SIG_DFL);
    std::cout.rdbuf(out);
    std::cerr.rdbuf(err);
    return code;
}
