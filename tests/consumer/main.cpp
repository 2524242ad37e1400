// The library from outside: four tokens of a synthetic model, with and without a cache.
#include <cstdio>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/kv_cache.hpp>

int main() {
    const auto source = kvlab::make_synthetic({}, 42);
    const auto engine = kvlab::make_cpu_engine();
    kvlab::Decoder decoder(kvlab::load_model(*source, *engine), *engine);
    kvlab::KvCache cache(decoder.kv_shape(), 64);
    kvlab::WholeSequence whole(decoder.kv_shape(), 64);
    const std::vector<kvlab::Token> prompt = {1, 2, 3};
    std::string sums[2];
    for (kvlab::KvStore* store :
         {static_cast<kvlab::KvStore*>(&cache), static_cast<kvlab::KvStore*>(&whole)}) {
        kvlab::Generator generator(decoder);
        generator.add(*store, prompt, 4);
        generator.run();
        sums[store == &whole] = generator.checksum().hex();
    }
    std::printf("cached %s, uncached %s\n", sums[0].c_str(), sums[1].c_str());
    return sums[0] == sums[1] ? 0 : 1;
}
