#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "policy/runtime/identity.h"
#include "policy/yaml/document.h"

namespace sallyport {

/// Every address of an entry has a copy of its labels.
inline constexpr size_t kMaxLabels = 64;

/// Reads identity feeds, YAML or JSON, which say what labels each inside address has:
///
///   apiVersion: sallyport/v1
///   kind: IdentityFeed
///   identities:
///     - {addresses: [10.1.2.3], spiffeId: spiffe://cluster.local/ns/train/sa/llm,
///        labels: {job: train}}
///
/// `spiffeId` becomes the label kSpiffeIdLabel. An address may stand only once, and has at most
/// kMaxLabels labels.
/// @return every identity of every file with one address each, in the order written, or every error
///         of every file (docs/policy.md). Control-side only.
std::expected<std::vector<Identity>, std::vector<Diagnostic>> load_identities(
    std::span<const SourceFile> sources);

/// The list under `identities` of such a document, or of a PolicyTest.
std::vector<Identity> read_identities(const YamlNode& list, Report& report);

/// One file, if it is JSON in which nothing at all is wrong; nothing for any other text. Leaves
/// addresses that stand twice to the caller.
std::optional<std::vector<Identity>> read_identity_json(std::string_view text);

/// Whether `text` may be a SPIFFE ID: the scheme, then printable ASCII, up to 2,048 bytes.
bool is_spiffe_id(std::string_view text) noexcept;

}  // namespace sallyport
