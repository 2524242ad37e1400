// mpi_ranks.hpp - chapter 7: ranks that are processes, started by mpirun.
//
// What if one of them dies? The others wait for it, and MPI by itself would let them wait
// forever. Three things end such a run:
//
//   killed      mpirun sees it, and sends SIGTERM to the others: end_with_a_word_on_sigterm()
//   an Error    the rank says why and calls MPI_Abort: mpirun then does the same
//   stopped     nobody sees that. So nobody waits longer than `patience` seconds here.
#pragma once

#include <mpi.h>

#include <string>

#include <kvlab/serving/ranks.hpp>

namespace kvlab::app {

// Whether this process was started by mpirun, or by another launcher that says so. A program
// that was started by itself is one rank and needs no MPI: setting it up would take longer than
// the work, and can fail where many such programs begin at once.
bool started_as_rank();

// MPI as long as it lives: once in a program, before anything else.
class MpiSession {
public:
    MpiSession(int argc, char** argv);
    ~MpiSession();
    MpiSession(const MpiSession&) = delete;
    MpiSession& operator=(const MpiSession&) = delete;

    Index rank() const { return rank_; }

    Index size() const { return size_; }

    // One number for the command line: mpirun can start every rank with another one.
    Index arguments() const { return arguments_; }

private:
    int rank_ = 0, size_ = 1;
    Index arguments_ = 0;
};

class MpiRanks final : public Ranks {
public:
    // Throws Error, out of every call, when it has waited for so many seconds.
    explicit MpiRanks(double patience);

    Index rank() const override { return rank_; }

    Index size() const override { return size_; }

    void barrier() override;

private:
    void gather_bytes(std::span<const std::byte> mine,
                      std::span<const Index> counts,
                      std::span<std::byte> all) override;
    void send_bytes(Index to, std::span<const std::byte> bytes) override;
    void receive_bytes(Index from, std::span<std::byte> bytes) override;
    MPI_Status wait(MPI_Request& request, const char* what) const;

    double patience_;
    int rank_ = 0, size_ = 1;
    std::vector<int> counts_, firsts_;  // [ranks] of the gather that is running
};

// From now on SIGTERM prints one line and ends the process.
void end_with_a_word_on_sigterm(Index rank);

// One line on standard error, from any rank.
void say(Index rank, const std::string& line);

// Says why, and ends all ranks.
[[noreturn]] void abort_all(Index rank, const std::string& reason);

}  // namespace kvlab::app
