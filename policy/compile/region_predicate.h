#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "policy/compile/model.h"
#include "policy/compile/region_language.h"
#include "policy/runtime/facts.h"

namespace sallyport {

/// A flow with every fact known, which owns its texts: the example of a region.
struct SampleFlow {
  IpAddress source;
  IpAddress destination;
  uint8_t ip_protocol = 0;
  uint16_t destination_port = 0;
  int64_t unix_seconds = 0;
  std::optional<AppProtocol> app;
  std::string name;  ///< Empty: the flow has none.
  Labels labels;
  std::vector<std::string> alpns;  ///< Empty: the hello offers none.
  std::string ja4;                 ///< Empty: there is none.
  bool ech = false;
  std::string method;
  std::string path;
  std::vector<std::pair<std::string, std::string>> headers;
  bool bound = false;

  /// What decide() takes. Borrows from this flow and from `storage`.
  struct Storage {
    std::vector<std::string_view> alpns;
    std::vector<HttpHeader> headers;
  };
  FlowFacts facts(Storage& storage) const;
};

/// What a clause may ask beside intervals and names: one yes-or-no question about a flow. The
/// fields that its axis uses are filled.
struct RegionPredicate {
  Labels labels;                     ///< Axis::labels: all of them.
  std::string regex;                 ///< Axis::regex
  std::vector<std::string> texts;    ///< Axis::alpn, ja4, method, path: the list.
  bool any = false;                  ///< Axis::alpn: one offered is listed; else all are.
  bool with_ech = false;             ///< Axis::ech
  std::vector<HeaderMatch> headers;  ///< Axis::headers: all of them.

  auto operator<=>(const RegionPredicate&) const = default;
};

/// A predicate with its languages; none for a regex that is not understood, which may then be true
/// or false of any name.
struct CompiledRegionPredicate {
  RegionPredicate predicate;
  std::optional<RegularLanguage> language;  ///< Axis::regex and Axis::path
  std::vector<RegularLanguage> headers;     ///< Side by side with predicate.headers.
};

/// Whether no source has both: one label with two values.
bool exclude(const Labels& a, const Labels& b);

/// Answers given to predicates of one axis.
using Answers = std::vector<std::pair<const CompiledRegionPredicate*, bool>>;

/// Whether any flow gives these answers; if so, `sample` becomes one that does, as far as this
/// axis goes. A search that gives up counts as yes: a difference is rather shown than hidden.
bool labels_can(const Answers& answers, SampleFlow& sample);
bool alpns_can(const Answers& answers, SampleFlow& sample);
bool ja4_can(const Answers& answers, SampleFlow& sample);
bool ech_can(const Answers& answers, SampleFlow& sample);
bool method_can(const Answers& answers, SampleFlow& sample);
/// Those with languages take their searches off `work`, as find_word() does.
bool path_can(const Answers& answers, SampleFlow& sample, uint64_t& work);
bool headers_can(const Answers& answers, SampleFlow& sample, uint64_t& work);

/// Names of `in` that are in no language of `out` and give these answers.
bool name_can(const RegularLanguage& in, const std::vector<const RegularLanguage*>& out,
              const Answers& answers, std::string& name, uint64_t& work);

}  // namespace sallyport
