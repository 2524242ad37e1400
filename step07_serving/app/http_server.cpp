#include "http_server.hpp"

#if KVLAB_HAS_HTTPLIB

#include <unistd.h>

#include <atomic>
#include <ctime>
#include <future>
#include <thread>

#include <httplib.h>

#include "http_connection.hpp"
#include "http_refusals.hpp"
#include "http_sending.hpp"

namespace kvlab::app {

namespace {

using namespace std::chrono_literals;

// A body that is too large is read to its end and thrown away, so that the client, who reads
// only when everything is sent, sees the reason; but no more than so many times the limit.
constexpr Index kPatience = 64;

// The library asks for a line of 5 connections that wait to be accepted, and from the sixth on
// a client tries again a second later.
constexpr int kBacklog = 1024;

constexpr std::chrono::seconds kSilence{3};  // of a client, before its request begins
constexpr std::chrono::seconds kWrite{30};   // a reader who takes nothing for so long is gone

class Listener : public httplib::Server {
public:
    void lengthen_backlog() { ::listen(svr_sock_, kBacklog); }

    std::chrono::seconds read{0};  // in which a request must have come

private:
    // As the library does it, one request after another, but with our stream. The time runs
    // from the moment at which the connection came: it may have waited for this thread, and
    // whoever sends slowly does not get that time a second time.
    bool process_and_close_socket(socket_t sock) override {
        HttpClock::time_point since = arrival.at;
        bool closed = !arrival.welcome, answered = false;
        while (!closed && wait_for(sock, POLLIN, since + kSilence, svr_sock_) &&
               svr_sock_ != INVALID_SOCKET) {
            Connection one(sock, {since + read, HttpClock::now() + read, kWrite}, svr_sock_);
            answered = answer_one(one, closed);
            if (!answered || one.broken()) break;
            since = HttpClock::now();
        }
        ::shutdown(sock, SHUT_RDWR);
        ::close(sock);
        return answered;
    }

    // Newer versions of the library want to be told the addresses.
    template <class OneStream>
    bool answer_one(OneStream& one, bool& closed) {
        if constexpr (requires { process_request(one, false, closed, nullptr); })
            return process_request(one, false, closed, nullptr);
        else
            return process_request(one, "", 0, "", 0, false, closed, nullptr);
    }
};

}  // namespace

struct HttpServer::State {
    State(ServingLoop& loop_, ApiRules rules_, const HttpOptions& options_)
        : loop(loop_), rules(std::move(rules_)), options(options_), since(std::time(nullptr)) {}

    void add_routes();
    void add_refusals();
    std::string read_body(const httplib::Request& request,
                          const httplib::ContentReader& reader,
                          bool& whole);
    void reply(const httplib::Request& request,
               httplib::Response& response,
               const httplib::ContentReader& reader,
               bool chat);
    void send(const httplib::Request& request,
              httplib::Response& response,
              std::shared_ptr<Ticket> ticket);

    ServingLoop& loop;
    const ApiRules rules;
    const HttpOptions options;
    const std::time_t since;
    Listener server;
    int port = 0;
    std::atomic<Index> replies{0};    // that were begun, ever
    std::atomic<Index> under_way{0};  // of them, not sent yet
    std::thread thread;
    std::promise<void> ended;
};

std::string HttpServer::State::read_body(const httplib::Request& request,
                                         const httplib::ContentReader& reader,
                                         bool& whole) {
    check_length(request);
    std::string body;
    Index seen = 0;
    whole = reader([&](const char* data, std::size_t size) {
        seen += static_cast<Index>(size);
        if (seen <= options.max_body) body.append(data, size);
        return seen / kPatience <= options.max_body;
    });
    if (seen > options.max_body) throw too_large(options.max_body);
    if (!whole)
        throw ApiError(400, "body_incomplete", "",
                       "the body did not come in full, or not in time");
    check_content_type(request);
    return body;
}

// Whole replies go out in pieces, too: while the library waits for them, it sees a client that
// hangs up, and the text is not written for nobody. HTTP 1.0 has no chunks; there the end of
// the connection is the end of the body.
void HttpServer::State::send(const httplib::Request& request,
                             httplib::Response& response,
                             std::shared_ptr<Ticket> ticket) {
    const char* const type = ticket->request().stream ? "text/event-stream" : kJson;
    ReplyHead head{.id = concat(since, "-", ++replies),
                   .model = rules.model,
                   .created = std::time(nullptr)};
    const auto one = std::make_shared<Sending>(std::move(ticket), *rules.tokenizer,
                                               std::move(head), under_way);
    const auto go_on = [one](std::size_t, httplib::DataSink& sink) { return one->go_on(sink); };
    response.status = 200;  // a header Range would make it 206
    response.set_header("Cache-Control", "no-store");
    if (request.version == "HTTP/1.0")
        response.set_content_provider(type, go_on);
    else
        response.set_chunked_content_provider(type, go_on);
}

void HttpServer::State::reply(const httplib::Request& request,
                              httplib::Response& response,
                              const httplib::ContentReader& reader,
                              bool chat) {
    bool whole = false;
    try {
        const std::string body = read_body(request, reader, whole);
        ApiRequest asked = chat ? parse_chat(body, rules) : parse_completion(body, rules);
        send(request, response, loop.submit(std::move(asked)));
    } catch (const ApiError& error) {
        whole ? answer(response, error) : answer_and_close(response, error);
    }
}

void HttpServer::State::add_routes() {
    for (const bool chat : {false, true})
        server.Post(chat ? "/v1/chat/completions" : "/v1/completions",
                    [this, chat](const httplib::Request& request, httplib::Response& response,
                                 const httplib::ContentReader& reader) {
                        reply(request, response, reader, chat);
                    });
    server.Get("/v1/models", [this](const httplib::Request&, httplib::Response& response) {
        answer(response, 200, models_body(rules.model, since));
    });
    server.Get("/health", [](const httplib::Request&, httplib::Response& response) {
        answer(response, 200, R"({"status":"ok"})");
    });
    server.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
        response.set_content(prometheus_text(loop.metrics()), "text/plain; version=0.0.4");
    });
}

void HttpServer::State::add_refusals() {
    const httplib::Server::HandlerWithResponse explain = [](const httplib::Request& request,
                                                            httplib::Response& response) {
        if (!response.body.empty() || response.has_header("Connection"))
            return httplib::Server::HandlerResponse::Unhandled;  // it says what it is
        const ApiError error = refusal_of(request.path, response.status);
        if (error.status() == 405)
            response.set_header("Allow", request.method == "POST" ? "GET" : "POST");
        answer(response, error);
        return httplib::Server::HandlerResponse::Handled;
    };
    server.set_error_handler(explain);
    server.set_exception_handler(
        [](const httplib::Request&, httplib::Response& response, std::exception_ptr thrown) {
            try {
                std::rethrow_exception(thrown);
            } catch (const std::exception& error) {
                answer(response, {500, "failed", "", error.what()});
            }
        });
    // A client that asks first is told before it has sent anything.
    server.set_expect_100_continue_handler(
        [this](const httplib::Request& request, httplib::Response& response) {
            const std::string length = request.get_header_value("Content-Length");
            if (length.size() < 19 && std::atoll(length.c_str()) <= options.max_body)
                return 100;
            answer(response, too_large(options.max_body));
            return 413;
        });
}

HttpServer::HttpServer(ServingLoop& loop, ApiRules rules, const HttpOptions& options)
    : state_(std::make_shared<State>(loop, std::move(rules), options)) {
    State& s = *state_;
    s.add_routes();
    s.add_refusals();
    s.server.new_task_queue = [threads = usize(options.connections)] {
        return new WaitingLine(threads);
    };
    // Not the library's own option, which lets two servers share a port.
    s.server.set_socket_options([](socket_t sock) {
        const int yes = 1;
        ::setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    s.server.set_tcp_nodelay(true);  // a piece of text is far smaller than a packet
    s.server.set_keep_alive_timeout(kSilence.count());  // the answers' headers say it
    s.server.set_keep_alive_max_count(10000);
    s.server.read = std::chrono::seconds(options.read_timeout);
    s.port = options.port == 0
                 ? s.server.bind_to_any_port(options.host)
                 : (s.server.bind_to_port(options.host, static_cast<int>(options.port))
                        ? static_cast<int>(options.port)
                        : -1);
    check(s.port > 0, "serve: cannot listen on ", options.host, ", port ", options.port);
    s.server.lengthen_backlog();
}

HttpServer::~HttpServer() {
    stop();
}

Index HttpServer::port() const {
    return state_->port;
}

void HttpServer::start() {
    // The thread keeps the state: should a connection not end, it outlives this object.
    state_->thread = std::thread([state = state_] {
        state->server.listen_after_bind();
        state->ended.set_value();
    });
}

bool HttpServer::stop() {
    if (!state_->thread.joinable()) return true;
    // Not before: the library cuts off every reply when it stops.
    for (int i = 0; i < 500 && state_->under_way > 0; ++i) std::this_thread::sleep_for(10ms);
    state_->server.stop();
    const bool in_time = state_->ended.get_future().wait_for(10s) == std::future_status::ready;
    if (in_time)
        state_->thread.join();
    else
        state_->thread.detach();
    return in_time;
}

}  // namespace kvlab::app

#else

namespace kvlab::app {

struct HttpServer::State {};

HttpServer::HttpServer(ServingLoop&, ApiRules, const HttpOptions&) {
    throw Error(
        "serve: this program was built without an HTTP library; install cpp-httplib "
        "(Debian: libcpp-httplib-dev), configure and build again");
}

HttpServer::~HttpServer() = default;

void HttpServer::start() {}

Index HttpServer::port() const {
    return 0;
}

bool HttpServer::stop() {
    return true;
}

}  // namespace kvlab::app

#endif
