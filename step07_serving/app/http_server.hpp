// http_server.hpp - chapter 7: HTTP around the loop that serves. Only http_server.cpp knows the
// library cpp-httplib, and without the library the rest of the step stays whole.
#pragma once

#include <memory>
#include <string>

#include <kvlab/serving/server_loop.hpp>

namespace kvlab::app {

struct HttpOptions {
    std::string host = "127.0.0.1";
    Index port = 8080;         // 0: any that is free
    Index max_body = 1 << 20;  // bytes
    Index connections = 128;   // that are answered at a time, each by a thread; others wait
    Index read_timeout = 10;   // seconds, for the whole of a request
};

class HttpServer {
public:
    // Binds the port. The rest must outlive it. Throws Error if the port cannot be had, or if
    // this build has no HTTP library.
    HttpServer(ServingLoop& loop, ApiRules rules, const HttpOptions& options);
    ~HttpServer();  // as stop()

    // Answers from now on, in threads of its own.
    void start();

    Index port() const;

    // Waits until the replies that are under way have been sent, then closes everything.
    // Returns false if some connection did not end in time: its thread still runs.
    bool stop();

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace kvlab::app
