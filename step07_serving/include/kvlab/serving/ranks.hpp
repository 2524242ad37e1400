// ranks.hpp - chapter 7: how the processes of one run talk to each other.
//
// A run has some ranks, 0 to n - 1. All of them execute the same program, each with its own
// memory, and what one of them needs from another has to travel. The word and the calls are
// MPI's. This interface has only those that the chapter needs:
//
//   rank 0 has  a a a     all_gather     a a a b c c     on every rank: all parts,
//   rank 1 has  b        ----------->    a a a b c c     one after the other, in rank order
//   rank 2 has  c c                      a a a b c c
//
// The order is the point. A gather only moves numbers, so it cannot change a bit. MPI's own sum
// over ranks (MPI_Allreduce) adds in an order that nobody promises, so it is not here.
//
// Two kinds of ranks exist: threads of one process (thread_ranks.hpp), for tests, and processes
// under mpirun (the program step07_parallel).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <kvlab/tensor/sizes.hpp>

namespace kvlab {

// One rank's end of the conversation. One thread at a time.
class Ranks {
public:
    virtual ~Ranks() = default;
    Ranks(const Ranks&) = delete;
    Ranks& operator=(const Ranks&) = delete;

    virtual Index rank() const = 0;  // this one
    virtual Index size() const = 0;  // how many there are

    // Every rank calls it with the same counts, and counts[rank()] numbers of its own. All of
    // them then have all numbers. Throws Error for lengths that do not fit the counts.
    void all_gather(std::span<const float> mine,
                    std::span<const Index> counts,
                    std::span<float> all);

    // One whole number of each rank, in rank order. Not counted as sent: it is about the run.
    std::vector<Index> gather_numbers(Index mine);

    // From one rank to another one, in the order of the calls; the receiver says how much it
    // waits for. Throws Error for a rank that is not there, for oneself, and if something of
    // another length arrives.
    void send(Index to, std::span<const std::byte> bytes);
    void receive(Index from, std::span<std::byte> bytes);

    // Comes back when all ranks have called it.
    virtual void barrier() = 0;

    // Bytes that this rank has handed over, once for each rank that got them.
    Index bytes_sent() const { return bytes_sent_; }

protected:
    Ranks() = default;

    // The three above, whose arguments have been checked; counts in bytes.
    virtual void gather_bytes(std::span<const std::byte> mine,
                              std::span<const Index> counts,
                              std::span<std::byte> all) = 0;
    virtual void send_bytes(Index to, std::span<const std::byte> bytes) = 0;
    virtual void receive_bytes(Index from, std::span<std::byte> bytes) = 0;

private:
    void check_other(const char* call, Index other) const;

    Index bytes_sent_ = 0;
    std::vector<Index> byte_counts_;  // [size()] of the gather that is running
};

}  // namespace kvlab
