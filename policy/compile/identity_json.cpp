// The quick way to read a feed that a machine wrote: JSON, ten thousand addresses in a few
// milliseconds. It takes only what is right beyond doubt; anything else is left to the reader that
// can say what is wrong and where.
#include <simdjson.h>

#include <algorithm>

#include "policy/compile/identity_feed.h"
#include "policy/yaml/printable.h"

namespace sallyport {
namespace {

namespace json = simdjson::dom;

bool is_text(const json::object& object, std::string_view key, std::string_view wanted) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS && text == wanted;
}

/// @return false for what is not plain text to text, a key given twice too.
bool read_labels(const json::object& labels, Identity& out) {
  if (labels.size() == 0 || labels.size() > kMaxLabels) return false;
  for (const auto& [key, value] : labels) {
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS || key.empty() || text.empty()) return false;
    if (key == kSpiffeIdLabel || printable(key) != key || printable(text) != text) return false;
    for (const auto& [other, ignored] : out.labels) {
      if (other == key) return false;
    }
    out.labels.emplace_back(key, text);
  }
  std::ranges::sort(out.labels);
  return true;
}

bool read_entry(const json::object& entry, std::vector<Identity>& out) {
  Identity identity;
  json::array addresses;
  size_t known = 0;
  if (entry["addresses"].get(addresses) != simdjson::SUCCESS || addresses.size() == 0) return false;
  ++known;
  json::object labels;
  if (entry["labels"].get(labels) == simdjson::SUCCESS) {
    if (!read_labels(labels, identity)) return false;
    ++known;
  }
  std::string_view id;
  if (entry[kSpiffeIdLabel].get(id) == simdjson::SUCCESS) {
    if (!is_spiffe_id(id)) return false;
    identity.labels.emplace_back(kSpiffeIdLabel, id);
    ++known;
  }
  if (entry.size() != known) return false;  // Others, twice or of another type.
  for (const json::element& element : addresses) {
    std::string_view text;
    if (element.get(text) != simdjson::SUCCESS) return false;
    const auto address = parse_ip_address(text);
    if (!address) return false;
    identity.address = *address;
    out.push_back(identity);
  }
  return true;
}

}  // namespace

std::optional<std::vector<Identity>> read_identity_json(std::string_view text) {
  json::parser parser;
  json::object root;
  json::array identities;
  if (parser.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS || root.size() != 3 ||
      !is_text(root, "apiVersion", "sallyport/v1") || !is_text(root, "kind", "IdentityFeed") ||
      root["identities"].get(identities) != simdjson::SUCCESS) {
    return {};
  }
  std::vector<Identity> out;
  out.reserve(identities.size());
  for (const json::element& element : identities) {
    json::object entry;
    if (element.get(entry) != simdjson::SUCCESS || !read_entry(entry, out)) return {};
  }
  return out;
}

}  // namespace sallyport
