#include <limits>
#include <sstream>

#include <kvlab/serving/server_metrics.hpp>

namespace kvlab {

namespace {

class PrometheusText {
public:
    template <class Value>
    void counter(const char* name, const char* help, Value value) {
        add(name, "counter", help, value);
    }

    template <class Value>
    void gauge(const char* name, const char* help, Value value) {
        add(name, "gauge", help, value);
    }

    void head(const char* name, const char* type, const char* help) {
        text_ << "# HELP kvlab_" << name << ' ' << help << "\n# TYPE kvlab_" << name << ' '
              << type << '\n';
    }

    template <class Value>
    void line(const char* name, const std::string& labels, Value value) {
        text_ << "kvlab_" << name << labels << ' ' << value << '\n';
    }

    std::string text() const { return text_.str(); }

private:
    template <class Value>
    void add(const char* name, const char* type, const char* help, Value value) {
        head(name, type, help);
        line(name, "", value);
    }

    static std::ostringstream all_digits() {
        std::ostringstream text;
        text.precision(std::numeric_limits<double>::max_digits10);
        return text;
    }

    // A sum of seconds grows for weeks, and whoever asks for its rate needs its last digits.
    std::ostringstream text_ = all_digits();
};

}  // namespace

std::string prometheus_text(const ServingMetrics& m) {
    PrometheusText out;
    out.counter("requests_total", "Requests that were accepted.", m.accepted);
    out.counter("requests_refused_total", "Requests refused, the queue being full.", m.refused);
    out.head("texts_total", "counter", "Texts that have ended, by reason.");
    for (std::size_t i = 0; i < m.ended.size(); ++i)
        out.line("texts_total",
                 concat("{reason=\"", end_reason_name(static_cast<EndReason>(i)), "\"}"),
                 m.ended[i]);
    out.counter("prompt_tokens_total", "Tokens of prompts, for each text.", m.prompt_tokens);
    out.counter("cached_tokens_total", "Of these, from pages that were there.",
                m.cached_tokens);
    out.counter("generated_tokens_total", "Tokens that were written.", m.written_tokens);
    out.gauge("pages", "Pages of the pool.", m.pages);
    out.gauge("pages_free", "Pages that nobody uses.", m.pages_free);
    out.gauge("pages_kept", "Pages that the prefix index holds.", m.pages_kept);
    out.gauge("waiting", "Texts that wait for a place or for pages.", m.waiting);
    out.gauge("running", "Texts that are being written.", m.running);
    out.counter("preemptions_total", "Times that a text lost its pages.", m.preempted);
    out.counter("steps_total", "Steps of the model.", m.steps);
    out.counter("step_seconds_total", "Seconds inside of steps.", m.step_seconds);
    out.counter("drafted_tokens_total", "Tokens that were guessed.", m.drafted);
    out.counter("accepted_tokens_total", "Guesses that were right.", m.drafts_accepted);
    out.head("first_token_seconds", "summary", "From a request to its text's first token.");
    out.line("first_token_seconds_sum", "", m.first_token_seconds);
    out.line("first_token_seconds_count", "", m.first_tokens);
    return out.text();
}

}  // namespace kvlab
