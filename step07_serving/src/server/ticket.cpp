#include <utility>

#include <kvlab/serving/server_ticket.hpp>

namespace kvlab {

const char* end_reason_name(EndReason reason) {
    switch (reason) {
        case EndReason::stop:
            return "stop";
        case EndReason::length:
            return "length";
        case EndReason::timeout:
            return "timeout";
        case EndReason::cancelled:
            return "cancelled";
        case EndReason::failed:
            break;
    }
    return "failed";
}

std::vector<ReplyPiece> Ticket::wait(std::chrono::milliseconds most) {
    std::unique_lock lock(mutex_);
    came_.wait_for(lock, most, [&] { return !pieces_.empty(); });
    return std::exchange(pieces_, {});
}

void Ticket::push(ReplyPiece piece) {
    {
        const std::lock_guard lock(mutex_);
        pieces_.push_back(std::move(piece));
    }
    came_.notify_one();
}

}  // namespace kvlab
