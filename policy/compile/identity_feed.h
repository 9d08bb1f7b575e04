#pragma once

#include <expected>
#include <optional>
#include <string_view>
#include <vector>

#include "policy/runtime/identity.h"
#include "policy/yaml/document.h"

namespace sallyport {

/// Reads identity feeds, YAML or JSON, which say what labels each inside address has:
///
///   apiVersion: sallyport/v1
///   kind: IdentityFeed
///   identities:
///     - {addresses: [10.1.2.3], spiffeId: spiffe://cluster.local/ns/train/sa/llm,
///        labels: {job: train}}
///
/// `spiffeId` becomes the label kSpiffeIdLabel. An address may stand only once.
/// @return every identity with one address, in the order written, or every error (docs/policy.md).
std::expected<std::vector<Identity>, std::vector<Diagnostic>> read_identity_feed(
    const SourceFile& source);

/// The same for JSON in which nothing at all is wrong; nothing for any other text. Leaves addresses
/// that stand twice to the caller.
std::optional<std::vector<Identity>> read_identity_json(std::string_view text);

/// Whether `text` may be a SPIFFE ID: the scheme, then printable ASCII, up to 2,048 bytes.
bool is_spiffe_id(std::string_view text) noexcept;

/// One item of `identities`, appended for each of its addresses.
void read_identity(const YamlNode& node, Report& report, std::vector<Identity>& out);

}  // namespace sallyport
