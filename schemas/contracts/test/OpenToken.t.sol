// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

import {OpenToken} from "../src/OpenToken.sol";
import {TestBase} from "./support/TestBase.sol";

contract OpenTokenTest is TestBase {
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    uint256 private constant KEY = 0xA11CE;

    OpenToken private token;
    address private owner = account("owner");
    address private holder = vm.addr(KEY);
    address private spender = account("spender");

    function setUp() public {
        vm.warp(START);
        token = new OpenToken(owner);
    }

    function permitDigest(uint256 value, uint256 nonce, uint256 deadline) private view returns (bytes32) {
        bytes32 body = keccak256(abi.encode(PERMIT, holder, spender, value, nonce, deadline));
        return keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), body));
    }

    function test_is_what_it_says() public view {
        vm.assertEq(token.name(), "Headwater Open Token", "name");
        vm.assertEq(token.symbol(), "OPEN", "symbol");
        vm.assertEq(token.decimals(), 18, "decimals");
        vm.assertEq(token.CLOCK_MODE(), "mode=timestamp", "clock mode");
        vm.assertEq(token.clock(), START, "clock");
    }

    function test_only_the_owner_mints() public {
        vm.prank(owner);
        token.mint(holder, 5 ether);
        vm.assertEq(token.balanceOf(holder), 5 ether, "minted");
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, holder));
        vm.prank(holder);
        token.mint(holder, 1);
    }

    function test_ownership_moves_in_two_steps() public {
        vm.prank(owner);
        token.transferOwnership(holder);
        vm.assertEq(token.owner(), owner, "offered, not moved");
        vm.prank(holder);
        token.acceptOwnership();
        vm.assertEq(token.owner(), holder, "moved");
    }

    function testFuzz_permit_allows_once(uint128 value) public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, permitDigest(value, 0, START));
        token.permit(holder, spender, value, START, v, r, s);
        vm.assertEq(token.allowance(holder, spender), value, "allowance");
        vm.assertEq(token.nonces(holder), 1, "nonce");
        vm.expectPartialRevert(ERC20Permit.ERC2612InvalidSigner.selector);
        token.permit(holder, spender, value, START, v, r, s);
    }

    function test_permit_ends_at_its_deadline() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, permitDigest(1, 0, START));
        vm.warp(START + 1);
        expectError(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, START));
        token.permit(holder, spender, 1, START, v, r, s);
    }

    function test_votes_follow_the_clock() public {
        vm.prank(owner);
        token.mint(holder, 7);
        vm.assertEq(token.getVotes(holder), 0, "not delegated");
        vm.prank(holder);
        token.delegate(holder);
        vm.assertEq(token.getVotes(holder), 7, "delegated");
        vm.warp(START + 10);
        vm.prank(holder);
        token.transfer(spender, 3);
        vm.warp(START + 11);
        vm.assertEq(token.getPastVotes(holder, START), 7, "then");
        vm.assertEq(token.getPastVotes(holder, START + 10), 4, "now");
        vm.assertEq(token.getPastTotalSupply(START + 10), 7, "supply");
    }
}
