// The program of a chapter's tasks. It reads questions from its standard input, a JSON object
// per line, and writes an answer for each:
//
//   {"case": "3.1 append: ...", "given": {"tokens": 3, "k": {"shape": [3, 2], "f32": [bits,
//   ...]}}}
//   {"answer": {"keys": {"shape": [3, 2], "f32": [bits, ...]}}}    or
//   {"todo": "task 3.1 is not solved yet ..."}                      or
//   {"error": "..."}
//
// Floats travel as their bits, so that nothing is rounded on the way.
#include "task_case.hpp"

#include <unistd.h>
#include <bit>
#include <cstdio>
#include <iostream>
#include <map>

#include <nlohmann/json.hpp>

namespace kvlab::course {

using Json = nlohmann::json;

namespace {

std::map<std::string, TaskFunction>& cases() {
    static std::map<std::string, TaskFunction> list;
    return list;
}

const Json& field(const Json& given, const char* name) {
    const auto found = given.find(name);
    check(found != given.end(), "the question has no '", name, "'");
    return *found;
}

Shape shape_of(const Json& array) {
    const auto extents = array.at("shape").get<std::vector<Index>>();
    return Shape(std::span<const Index>(extents));
}

std::vector<Index> extents_of(const Shape& shape) {
    std::vector<Index> extents;
    for (Index axis = 0; axis < shape.rank(); ++axis) extents.push_back(shape[axis]);
    return extents;
}

// Row-major, whatever the strides are.
void gather(const View<const float>& values, std::vector<std::uint32_t>& bits) {
    if (values.data() == nullptr) return;  // what an unfinished function returns
    if (values.rank() == 0) {
        bits.push_back(std::bit_cast<std::uint32_t>(values()));
        return;
    }
    for (Index i = 0; i < values.dim(0); ++i) gather(values[i], bits);
}

}  // namespace

bool Given::has(const char* name) const {
    return json_.contains(name);
}

Index Given::number(const char* name) const {
    return field(json_, name).get<Index>();
}

double Given::real(const char* name) const {
    return field(json_, name).get<double>();
}

std::string Given::text(const char* name) const {
    return field(json_, name).get<std::string>();
}

std::vector<float> Given::floats(const char* name) const {
    std::vector<float> values;
    for (const Json& bits : field(json_, name).at("f32"))
        values.push_back(std::bit_cast<float>(bits.get<std::uint32_t>()));
    return values;
}

std::vector<Index> Given::integers(const char* name) const {
    return field(json_, name).at("int").get<std::vector<Index>>();
}

Tensor Given::tensor(const char* name) const {
    const std::vector<float> values = floats(name);
    Tensor tensor(shape_of(field(json_, name)));
    check(tensor.size() == std::ssize(values), "the question's '", name, "' has ",
          values.size(), " floats, its shape ", tensor.size());
    std::copy(values.begin(), values.end(), tensor.flat().begin());
    return tensor;
}

Answer::Answer() : json_(std::make_unique<Json>(Json::object())) {}

Answer::~Answer() = default;

void Answer::number(const char* name, Index value) {
    (*json_)[name] = value;
}

void Answer::real(const char* name, double value) {
    (*json_)[name] = {{"shape", Json::array()}, {"f64", {std::bit_cast<std::uint64_t>(value)}}};
}

void Answer::text(const char* name, const std::string& value) {
    (*json_)[name] = value;
}

void Answer::floats(const char* name, const View<const float>& values) {
    std::vector<std::uint32_t> bits;
    gather(values, bits);
    (*json_)[name] = {{"shape", extents_of(values.shape())}, {"f32", bits}};
}

void Answer::floats(const char* name, std::span<const float> values, const Shape& shape) {
    check(shape.size() == std::ssize(values), "answer '", name, "': ", values.size(),
          " floats for the shape ", shape);
    floats(name, View<const float>(values.data(), shape));
}

void Answer::floats(const char* name, std::span<const float> values) {
    floats(name, values, {std::ssize(values)});
}

void Answer::integers(const char* name, std::span<const Index> values, const Shape& shape) {
    check(shape.size() == std::ssize(values), "answer '", name, "': ", values.size(),
          " integers for the shape ", shape);
    (*json_)[name] = {{"shape", extents_of(shape)},
                      {"int", std::vector<Index>(values.begin(), values.end())}};
}

void Answer::integers(const char* name, std::span<const Index> values) {
    integers(name, values, {std::ssize(values)});
}

TaskCase::TaskCase(const char* name, TaskFunction run) {
    cases().emplace(name, run);
}

namespace {

Json reply_to(const std::string& line) {
    try {
        const Json question = Json::parse(line);
        const auto found = cases().find(question.at("case").get<std::string>());
        check(found != cases().end(), "there is no such case");
        const Json given = question.value("given", Json::object());
        Answer answer;
        found->second(Given(given), answer);
        return {{"answer", answer.json()}};
    } catch (const NotImplemented& open) {
        return {{"todo", open.what()}};
    } catch (const std::exception& error) {
        return {{"error", error.what()}};
    }
}

// All of it, or the program ends: a judge that has gone needs no answer.
void write_line(int to, const std::string& text) {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t count = write(to, text.data() + done, text.size() - done);
        if (count <= 0) _exit(1);
        done += static_cast<std::size_t>(count);
    }
}

}  // namespace

}  // namespace kvlab::course

int main(int argc, char** argv) {
    using namespace kvlab::course;
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words == std::vector<std::string>{"--list"}) {
        for (const auto& [name, run] : cases()) std::cout << name << '\n';
        return 0;
    }
    int to = STDOUT_FILENO;
    if (words.size() == 2 && words[0] == "--answers-to") {
        to = std::atoi(words[1].c_str());
    } else if (!words.empty()) {
        std::cerr << "usage: " << argv[0] << " [--list | --answers-to DESCRIPTOR] <questions\n"
                  << "  answers the questions of a chapter's tasks; ./course check asks them\n";
        return 2;
    }
    for (std::string line; std::getline(std::cin, line);)
        write_line(to, reply_to(line).dump() + "\n");
}
