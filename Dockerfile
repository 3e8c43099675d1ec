# A static binary in an otherwise empty image, as a user without rights.
#
#   docker build -t streamlatch --build-arg VERSION=v1.2.3 .

FROM golang:1.26-bookworm AS build
ARG VERSION=
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /streamlatch ./cmd/streamlatch

FROM scratch
# Webhooks go to https endpoints, whose certificates are checked against these.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /streamlatch /streamlatch
USER 65532:65532
EXPOSE 8080
# There is no shell and no curl in here: the program asks itself, at the address that its default stands for.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/streamlatch", "healthcheck"]
ENTRYPOINT ["/streamlatch"]
CMD ["serve"]
