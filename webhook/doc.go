// Package webhook delivers events to HTTP endpoints, signed as Standard Webhooks 1.0.0 says, and verifies such signatures.
//
// # Usage
//
// A [Sender] makes one attempt at a delivery and says how it ended; when to try again is [router.Retry]'s decision. A [Guard] says where webhooks may go; what
// a caller wants to store is checked with [Guard.CheckURL], [CheckHeaders] and [CheckSecret], which fit [router.Rules]. A [Verifier] is the receiver's side.
//
// # Guarantees
//
//   - An attempt sends at most one request, and only to an address that the guard permitted when it was dialled.
//   - A redirect, a proxy of the environment or a header of the subscription changes nothing of where a delivery goes, how it is framed and who signed it.
//   - Only a status of 2xx is a success.
//   - An attempt takes no longer than its timeout, and no more memory than its event and 64 KiB of the answer's header, whatever the endpoint answers.
//   - No message about an attempt holds a secret of the subscription.
//
// # Limits
//
// In binary mode the signature covers the body, not the ce-* headers. Signatures are made with symmetric secrets (v1); those with ed25519 keys (v1a) are verified
// only. Hosts are written in ASCII (punycode), addresses without a zone.
package webhook
