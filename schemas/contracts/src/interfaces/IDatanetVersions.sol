// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title IDatanetVersions
/// @notice What the model registry needs of the registry of Datanets.
interface IDatanetVersions {
    /// @notice The root of one version; zero when it was never committed.
    function versionRoot(bytes32 datanetId, uint64 version) external view returns (bytes32);
}
