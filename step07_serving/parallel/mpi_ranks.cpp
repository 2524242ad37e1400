// mpi_ranks.cpp - chapter 7: the calls of MPI, each with its errors and a limit of patience.
#include "mpi_ranks.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <thread>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/text.hpp>

namespace kvlab::app {

namespace {

void check_mpi(int code, const char* what) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = {};
    int length = 0;
    MPI_Error_string(code, text, &length);
    throw Error(concat(what, ": ", std::string(text, usize(length))));
}

// MPI counts in int.
constexpr Index kMostAtOnce = std::numeric_limits<int>::max();
constexpr std::size_t kMessage = std::size_t{1} << 30;

// What the handler prints, made before: it may neither allocate nor format.
char last_words[128];
std::size_t last_words_length = 0;

void print_and_end(int) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, last_words, last_words_length);
    ::_exit(1);
}

}  // namespace

bool started_as_rank() {
    constexpr const char* kSigns[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
    return std::ranges::any_of(kSigns, [](const char* name) { return std::getenv(name); });
}

MpiSession::MpiSession(int argc, char** argv) {
    if (started_as_rank()) {
        check_mpi(MPI_Init(nullptr, nullptr), "MPI_Init");
        // Errors come back as codes, so that they can be told in our own words.
        check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI");
        MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
        MPI_Comm_size(MPI_COMM_WORLD, &size_);
    }
    Checksum sum;
    for (int i = 1; i < argc; ++i)
        for (const char* c = argv[i];; ++c) {
            sum.add_bits(static_cast<unsigned char>(*c));  // with the 0 at its end
            if (*c == 0) break;
        }
    arguments_ = static_cast<Index>(sum.value());
}

MpiSession::~MpiSession() {
    if (started_as_rank()) MPI_Finalize();
}

MpiRanks::MpiRanks(double patience) : patience_(patience) {
    if (!started_as_rank()) return;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
}

// ANCHOR: wait
// A message between processes of one machine takes microseconds, so it is asked for without a
// pause at first. Later others get the core: there may be more ranks than cores.
MPI_Status MpiRanks::wait(MPI_Request& request, const char* what) const {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    MPI_Status status{};
    for (Index tries = 0;; ++tries) {
        int done = 0;
        check_mpi(MPI_Test(&request, &done, &status), what);
        if (done != 0) return status;
        if (tries < 100) continue;
        const std::chrono::duration<double> waited = Clock::now() - start;
        check(waited.count() < patience_, what, ": waited ", patience_,
              " seconds for another rank, which does not answer");
        if (waited.count() < 0.01)
            std::this_thread::yield();
        else
            std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
}

// ANCHOR_END: wait

void MpiRanks::gather_bytes(std::span<const std::byte> mine,
                            std::span<const Index> counts,
                            std::span<std::byte> all) {
    if (size_ == 1) {
        std::ranges::copy(mine, all.begin());
        return;
    }
    counts_.clear();
    firsts_.clear();
    check(std::ssize(all) <= kMostAtOnce, "all_gather: ", all.size(),
          " bytes at once; MPI counts to ", kMostAtOnce);
    int first = 0;
    for (const Index count : counts) {
        counts_.push_back(static_cast<int>(count));
        firsts_.push_back(first);
        first += static_cast<int>(count);
    }
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(
        MPI_Iallgatherv(mine.data(), static_cast<int>(mine.size()), MPI_BYTE, all.data(),
                        counts_.data(), firsts_.data(), MPI_BYTE, MPI_COMM_WORLD, &request),
        "all_gather");
    wait(request, "all_gather");
}

// A long message goes in pieces that MPI can count.
void MpiRanks::send_bytes(Index to, std::span<const std::byte> bytes) {
    for (std::size_t first = 0; first == 0 || first < bytes.size(); first += kMessage) {
        const auto piece = bytes.subspan(first, std::min(kMessage, bytes.size() - first));
        MPI_Request request = MPI_REQUEST_NULL;
        check_mpi(MPI_Isend(piece.data(), static_cast<int>(piece.size()), MPI_BYTE,
                            static_cast<int>(to), 0, MPI_COMM_WORLD, &request),
                  "send");
        wait(request, "send");
    }
}

void MpiRanks::receive_bytes(Index from, std::span<std::byte> bytes) {
    for (std::size_t first = 0; first == 0 || first < bytes.size(); first += kMessage) {
        const auto piece = bytes.subspan(first, std::min(kMessage, bytes.size() - first));
        MPI_Request request = MPI_REQUEST_NULL;
        check_mpi(MPI_Irecv(piece.data(), static_cast<int>(piece.size()), MPI_BYTE,
                            static_cast<int>(from), 0, MPI_COMM_WORLD, &request),
                  "receive");
        const MPI_Status status = wait(request, "receive");
        int arrived = 0;
        MPI_Get_count(&status, MPI_BYTE, &arrived);
        check(usize(arrived) == piece.size(), "receive: rank ", from, " sent ", arrived,
              " bytes, rank ", rank_, " waits for ", piece.size());
    }
}

void MpiRanks::barrier() {
    if (size_ == 1) return;
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Ibarrier(MPI_COMM_WORLD, &request), "barrier");
    wait(request, "barrier");
}

void end_with_a_word_on_sigterm(Index rank) {
    const int length =
        std::snprintf(last_words, sizeof last_words,
                      "step07_parallel: rank %td: ended by mpirun: another rank is "
                      "gone, or somebody stopped the run\n",
                      rank);
    last_words_length = static_cast<std::size_t>(length);

    struct sigaction action {};

    action.sa_handler = print_and_end;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGTERM, &action, nullptr);
}

// In one piece, so that the lines of several ranks do not mix.
void say(Index rank, const std::string& line) {
    const std::string text =
        concat("step07_parallel: rank ", rank, ": ", printable(line), '\n');
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

void abort_all(Index rank, const std::string& reason) {
    say(rank, reason);
    if (started_as_rank()) MPI_Abort(MPI_COMM_WORLD, 1);
    ::_exit(1);
}

}  // namespace kvlab::app
