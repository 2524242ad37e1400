// http_refusals.hpp - chapter 7: answers of cpp-httplib that say no, of http_server.cpp.
#pragma once

#include <string>

#include <httplib.h>

#include <kvlab/serving/server_reply.hpp>

namespace kvlab::app {

inline constexpr const char* kJson = "application/json";

inline void answer(httplib::Response& response, int status, const std::string& body) {
    response.status = status;
    response.set_content(body, kJson);
}

inline std::string body_of(const ApiError& error) {
    return error_body(error.status(), error.code(), error.param(), error.what());
}

inline void answer(httplib::Response& response, const ApiError& error) {
    if (error.status() == 429) response.set_header("Retry-After", "1");
    answer(response, error.status(), body_of(error));
}

// The same where the request was not read to its end: what is left of it would be taken for the
// next one. The library closes a connection whose content could not be sent.
inline void answer_and_close(httplib::Response& response, const ApiError& error) {
    const std::string body = body_of(error);
    response.status = error.status();
    response.set_header("Connection", "close");
    response.set_content_provider(
        body.size(), kJson,
        [body](std::size_t offset, std::size_t size, httplib::DataSink& sink) {
            sink.write(body.data() + offset, size);
            return false;
        });
}

inline ApiError too_large(Index most) {
    return {413, "body_too_large", "", concat("the body is larger than ", most, " bytes")};
}

// Only what a page in a browser cannot send without being asked: a server on 127.0.0.1 is in
// reach of every page that its user opens.
inline void check_content_type(const httplib::Request& request) {
    const std::string type = request.get_header_value("Content-Type");
    if (type.starts_with(kJson) && (type.size() == 16 || type[16] == ';')) return;
    throw ApiError(415, "content_type", "",
                   "the header Content-Type must say application/json");
}

// One way to tell where the body ends, and only one.
inline void check_length(const httplib::Request& request) {
    const std::size_t lengths = request.get_header_value_count("Content-Length"),
                      encodings = request.get_header_value_count("Transfer-Encoding");
    if (lengths + encodings == 0)
        throw ApiError(411, "length", "", "the header Content-Length is missing");
    if (lengths + encodings > 1)
        throw ApiError(400, "length", "", "the length of the body is told in two ways");
}

// What the library refuses by itself, as one of OpenAI's error objects.
inline ApiError refusal_of(const std::string& path, int status) {
    const bool posted = path == "/v1/completions" || path == "/v1/chat/completions";
    const bool got = path == "/v1/models" || path == "/health" || path == "/metrics";
    if (status != 404) return {status, "http", "", "this is no request that can be read"};
    if (posted || got)
        return {405, "method", "", concat(path, " answers ", posted ? "POST" : "GET")};
    return {404, "no_such_path", "", "there is no such path"};
}

}  // namespace kvlab::app
