// http_connection.hpp - chapter 7: a connection with a deadline for the whole of a request, and
// a line of those that wait for a thread. cpp-httplib's own stream waits anew for each byte, so
// who sends one now and then would hold a thread for ever; and its own line has no end.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <utility>

#include <httplib.h>

namespace kvlab::app {

using HttpClock = std::chrono::steady_clock;

inline constexpr int kMostWaiting = 256;  // connections without a thread; beyond: closed

// Waits until the socket can be read (POLLIN) or written (POLLOUT), in steps, so that the end
// of the server ends every wait. What is there already is seen whatever the time is.
inline bool wait_for(socket_t sock,
                     short event,
                     HttpClock::time_point until,
                     const std::atomic<socket_t>& listening) {
    pollfd one{.fd = sock, .events = event, .revents = 0};
    constexpr std::chrono::milliseconds none{0}, most{50};
    while (true) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - HttpClock::now());
        const bool over = left <= none || listening == INVALID_SOCKET;
        const auto pause = over ? none : std::min(left, most);
        if (::poll(&one, 1, static_cast<int>(pause.count())) > 0) return true;
        if (over) return false;
    }
}

// One request's way in and its answer's way out. Its methods have the names of all versions of
// the library; each version overrides those that it knows.
class Connection final : public httplib::Stream {
public:
    struct Times {
        HttpClock::time_point until;  // nobody waits longer for the request's bytes
        HttpClock::time_point end;    // and from here on even those that are there are not read
        std::chrono::seconds write;   // that a client may take nothing of the answer
    };

    Connection(socket_t sock, const Times& times, const std::atomic<socket_t>& listening)
        : sock_(sock), times_(times), listening_(listening) {}

    // Whether the request did not come in full. What comes now is no other one.
    bool broken() const { return broken_; }

    // NOLINTBEGIN(modernize-use-override)
    bool is_readable() const {
        return begin_ < end_ || (HttpClock::now() < times_.end &&
                                 wait_for(sock_, POLLIN, times_.until, listening_));
    }

    bool wait_readable() const { return is_readable(); }

    bool is_writable() const {
        return wait_for(sock_, POLLOUT, HttpClock::now() + times_.write, listening_) &&
               is_peer_alive();
    }

    bool wait_writable() const { return is_writable(); }

    // Whoever has closed the connection reads no answer: then there is an end to be read.
    bool is_peer_alive() const {
        char byte = 0;
        return !wait_for(sock_, POLLIN, {}, listening_) ||
               ::recv(sock_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
    }

    ssize_t read(char* bytes, size_t size) {
        if (begin_ == end_) {
            const ssize_t came =
                is_readable() ? ::recv(sock_, buffer_.data(), buffer_.size(), MSG_DONTWAIT)
                              : -1;
            broken_ = came <= 0;
            if (broken_) return came;
            begin_ = 0;
            end_ = static_cast<size_t>(came);
        }
        const size_t count = std::min(size, end_ - begin_);
        std::copy_n(buffer_.data() + begin_, count, bytes);
        begin_ += count;
        return static_cast<ssize_t>(count);
    }

    ssize_t write(const char* bytes, size_t size) {
        return is_writable() ? ::send(sock_, bytes, size, MSG_DONTWAIT) : -1;
    }

    // Nobody here asks who the client is.
    void get_remote_ip_and_port(std::string&, int&) const {}

    void get_local_ip_and_port(std::string&, int&) const {}

    socket_t socket() const { return sock_; }

    time_t duration() const { return 0; }  // only the library's client looks at it

    // NOLINTEND(modernize-use-override)

private:
    const socket_t sock_;
    const Times times_;
    const std::atomic<socket_t>& listening_;  // the server's own socket, as long as it runs
    std::array<char, 4096> buffer_;           // bytes [begin_, end_) are there and not read yet
    size_t begin_ = 0, end_ = 0;
    bool broken_ = false;
};

// How the connection came that a thread is about to serve.
struct Arrival {
    HttpClock::time_point at;
    bool welcome;  // or the line was full
};

inline thread_local Arrival arrival{};

// The threads that serve, and the line before them. The library closes no connection that it
// cannot put in: so one that is too many is served at once, and not welcome.
class WaitingLine final : public httplib::TaskQueue {
    using Entered = decltype(std::declval<httplib::TaskQueue&>().enqueue(nullptr));

public:
    explicit WaitingLine(size_t threads) : pool_(threads) {}

    Entered enqueue(std::function<void()> serve) override {
        const Arrival now{HttpClock::now(), waiting_ < kMostWaiting};
        if (!now.welcome) {
            arrival = now;
            serve();
            return Entered(true);
        }
        ++waiting_;
        return pool_.enqueue([this, now, serve = std::move(serve)] {
            --waiting_;
            arrival = now;
            serve();
        });
    }

    void shutdown() override { pool_.shutdown(); }

private:
    std::atomic<int> waiting_{0};
    httplib::ThreadPool pool_;
};

}  // namespace kvlab::app
