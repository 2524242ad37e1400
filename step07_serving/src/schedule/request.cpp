#include <kvlab/serving/request.hpp>

namespace kvlab {

const char* outcome_name(Outcome outcome) {
    static constexpr const char* kNames[] = {"waiting",   "running",      "length",
                                             "end token", "context full", "cancelled"};
    return kNames[static_cast<std::size_t>(outcome)];
}

}  // namespace kvlab
