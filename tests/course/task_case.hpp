// task_case.hpp - how a case of a task is written: named numbers go in, the student's function
// is called, and named numbers come out. Nothing here knows what is right: that is for the
// judge, which runs in another process (tests/course/README.md).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab::course {

// What the judge sends. A name that it did not send is an Error.
class Given {
public:
    explicit Given(const nlohmann::json& json) : json_(json) {}

    bool has(const char* name) const;
    Index number(const char* name) const;
    double real(const char* name) const;
    std::string text(const char* name) const;
    std::vector<float> floats(const char* name) const;
    std::vector<Index> integers(const char* name) const;
    Tensor tensor(const char* name) const;  // the same floats, with their shape

private:
    const nlohmann::json& json_;
};

// What goes back to the judge, raw: bits of floats, and integers.
class Answer {
public:
    Answer();
    ~Answer();

    void number(const char* name, Index value);
    void real(const char* name, double value);
    void text(const char* name, const std::string& value);
    void floats(const char* name, std::span<const float> values, const Shape& shape);
    void floats(const char* name, std::span<const float> values);  // one axis
    void floats(const char* name, const View<const float>& values);
    void integers(const char* name, std::span<const Index> values, const Shape& shape);
    void integers(const char* name, std::span<const Index> values);

    // The message of the Error that `call` throws, or "" if it throws none. An open task is
    // passed on.
    template <class Call>
    void error(const char* name, const Call& call) {
        try {
            call();
            text(name, "");
        } catch (const NotImplemented&) {
            throw;
        } catch (const Error& error) {
            text(name, error.what());
        }
    }

    const nlohmann::json& json() const { return *json_; }

private:
    std::unique_ptr<nlohmann::json> json_;
};

using TaskFunction = void (*)(const Given&, Answer&);

// Puts a case into the list of the program. Names begin with the task: "3.1 append: ...".
struct TaskCase {
    TaskCase(const char* name, TaskFunction run);
};

}  // namespace kvlab::course

#define KVLAB_TASK_JOIN_(a, b) a##b
#define KVLAB_TASK_JOIN(a, b) KVLAB_TASK_JOIN_(a, b)

// KVLAB_TASK_CASE("3.1 append: ...") { ... given.tensor("k") ... answer.floats("keys", ...) ...
// }
#define KVLAB_TASK_CASE(name)                                                            \
    static void KVLAB_TASK_JOIN(task_function_, __LINE__)(const ::kvlab::course::Given&, \
                                                          ::kvlab::course::Answer&);     \
    static const ::kvlab::course::TaskCase KVLAB_TASK_JOIN(task_case_, __LINE__)(        \
        name, KVLAB_TASK_JOIN(task_function_, __LINE__));                                \
    static void KVLAB_TASK_JOIN(task_function_, __LINE__)(                               \
        [[maybe_unused]] const ::kvlab::course::Given& given, ::kvlab::course::Answer& answer)
