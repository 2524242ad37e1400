#include <kvlab/serving/thread_ranks.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace kvlab {

namespace {

// What all threads see. In a gather everybody waits for everybody twice: until all parts are
// put up, and until all have copied them.
class Board {
public:
    explicit Board(Index ranks) : parts_(usize(ranks)), ended_(usize(ranks)) {}

    Index ranks() const { return std::ssize(parts_); }

    void gather(Index rank,
                std::span<const std::byte> mine,
                std::span<const Index> counts,
                std::span<std::byte> all) {
        at(parts_, rank) = mine;
        meet(rank);
        Index first = 0, wrong = -1;
        for (Index r = 0; r < ranks(); ++r) {
            const std::span<const std::byte> part = at(parts_, r);
            if (std::ssize(part) == at(counts, r))
                std::copy(part.begin(), part.end(), all.begin() + first);
            else if (wrong < 0)
                wrong = r;
            first += at(counts, r);
        }
        const Index found = wrong < 0 ? 0 : std::ssize(at(parts_, wrong));
        meet(rank);  // whoever leaves earlier takes away what others still read
        check(wrong < 0, "all_gather: rank ", wrong, " put up ", found, " bytes, rank ", rank,
              " waits for ", wrong < 0 ? 0 : at(counts, wrong));
    }

    // Waits until all have come. The last one lets the others go on.
    void meet(Index rank) {
        std::unique_lock lock(mutex_);
        const Index round = round_;
        if (++waiting_ == ranks()) {
            waiting_ = 0;
            ++round_;
            changed_.notify_all();
            return;
        }
        changed_.wait(lock, [&] { return round_ != round || first_ended_ >= 0; });
        if (round_ == round) refuse(rank, first_ended_);
    }

    void send(Index from, Index to, std::span<const std::byte> bytes) {
        const std::lock_guard lock(mutex_);
        mail_[{from, to}].emplace_back(bytes.begin(), bytes.end());
        changed_.notify_all();
    }

    void receive(Index from, Index to, std::span<std::byte> bytes) {
        std::unique_lock lock(mutex_);
        auto& letters = mail_[{from, to}];
        changed_.wait(lock, [&] { return !letters.empty() || at(ended_, from); });
        if (letters.empty()) refuse(to, from);
        const std::vector<std::byte> letter = std::move(letters.front());
        letters.pop_front();
        check(letter.size() == bytes.size(), "receive: rank ", from, " sent ", letter.size(),
              " bytes, rank ", to, " waits for ", bytes.size());
        std::copy(letter.begin(), letter.end(), bytes.begin());
    }

    // A rank has come to its end, with the exception that ended it or without one. Others may
    // still read what it sent, but nobody may wait for it.
    void end(Index rank, std::exception_ptr error) {
        const std::lock_guard lock(mutex_);
        at(ended_, rank) = true;
        if (first_ended_ < 0) first_ended_ = rank;
        if (error != nullptr && error_ == nullptr) error_ = std::move(error);
        changed_.notify_all();
    }

    void rethrow() const {
        if (error_ != nullptr) std::rethrow_exception(error_);
    }

private:
    [[noreturn]] static void refuse(Index rank, Index ended) {
        throw Error(concat("rank ", rank, " waits in vain: rank ", ended, " has ended"));
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::span<const std::byte>> parts_;  // [ranks]
    std::vector<bool> ended_;                        // [ranks]
    Index waiting_ = 0, round_ = 0, first_ended_ = -1;
    std::exception_ptr error_;
    std::map<std::pair<Index, Index>, std::deque<std::vector<std::byte>>> mail_;
};

class ThreadRanks final : public Ranks {
public:
    ThreadRanks(Board& board, Index rank) : board_(board), rank_(rank) {}

    Index rank() const override { return rank_; }

    Index size() const override { return board_.ranks(); }

    void barrier() override { board_.meet(rank_); }

private:
    void gather_bytes(std::span<const std::byte> mine,
                      std::span<const Index> counts,
                      std::span<std::byte> all) override {
        board_.gather(rank_, mine, counts, all);
    }

    void send_bytes(Index to, std::span<const std::byte> bytes) override {
        board_.send(rank_, to, bytes);
    }

    void receive_bytes(Index from, std::span<std::byte> bytes) override {
        board_.receive(from, rank_, bytes);
    }

    Board& board_;
    Index rank_;
};

}  // namespace

void run_thread_ranks(Index ranks, const std::function<void(Ranks&)>& work) {
    check(ranks >= 1 && ranks <= 64, "thread ranks: expected 1 to 64, found ", ranks);
    Board board(ranks);
    const auto run = [&](Index rank) {
        ThreadRanks mine(board, rank);
        std::exception_ptr error;
        try {
            work(mine);
        } catch (...) {
            error = std::current_exception();
        }
        board.end(rank, error);
    };
    std::vector<std::thread> threads;
    for (Index rank = 0; rank < ranks; ++rank) threads.emplace_back(run, rank);
    for (std::thread& thread : threads) thread.join();
    board.rethrow();
}

}  // namespace kvlab
