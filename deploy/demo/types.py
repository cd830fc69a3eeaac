"""The certificate types of the demonstration, one table; catalogue.yaml is its published form (DOMAIN §7).

A code that is not verified has a made-up serial 9xx behind the defining body's USCC; the health commission's USCC is
made up as well. Values of fields are templates over the facts of one certificate, alternatives parted by "|".
"""

from typing import Final, NamedTuple

from schemas.catalogue import Mask
from schemas.holders import HolderCategory
from schemas.regions import PROVINCES


class TypeField(NamedTuple):
    """One field of the face: KZ_ column, Chinese label, how it is masked, how the demonstration fills it."""

    column: str
    label: str
    mask: Mask
    value: str


class DemoType(NamedTuple):
    """One certificate type, the organ that issues it, the term in years (None: without) and its number's template."""

    type_code: str
    type_name: str
    code_verified: bool
    defining_body: str
    defining_body_code: str
    holder_category: HolderCategory
    issuing_organ: str
    years: int | None
    number: str
    fields: tuple[TypeField, ...]
    provinces: tuple[str, ...] = PROVINCES
    residents_only: bool = False
    holder_sex: str | None = None


_PERSON: Final = HolderCategory.PERSON
_POLICE: Final = ("公安部", "11100000000013127D")
_REAL_ESTATE: Final = ("自然资源部", "11100000MB03271699")
_MARKET: Final = ("国家市场监督管理总局", "11100000MB0143028R")
_CIVIL: Final = ("民政部", "111000000000131433")
_HEALTH: Final = ("国家卫生健康委员会", "11100000MB9900001R")
_HOUSING: Final = ("住房和城乡建设部", "11100000000013338W")
_LABOUR: Final = ("人力资源和社会保障部", "11100000717823004M")

_NAME: Final = TypeField("KZ_XM", "姓名", Mask.NAME, "{name}")
_SEX: Final = TypeField("KZ_XB", "性别", Mask.NONE, "{sex}")
_CITIZEN_ID: Final = TypeField("KZ_GMSFHM", "公民身份号码", Mask.CITIZEN_ID, "{code}")
_HOME: Final = TypeField("KZ_ZZ", "住址", Mask.ADDRESS, "{home}")
_EMPLOYER: Final = TypeField("KZ_QYMC", "企业名称", Mask.NONE, "{company}")
_TERM: Final = TypeField("KZ_YXQX", "有效期限", Mask.NONE, "{valid_from}至{valid_to}")

TYPES: Final[tuple[DemoType, ...]] = (
    DemoType(
        f"{_POLICE[1]}001",
        "居民身份证",
        True,
        *_POLICE,
        _PERSON,
        "公安局",
        20,
        "{code}",
        (
            _NAME,
            _SEX,
            TypeField("KZ_MZ", "民族", Mask.NONE, "汉|回|满|壮"),
            TypeField("KZ_CSRQ", "出生日期", Mask.NONE, "{born}"),
            _HOME,
            _CITIZEN_ID,
            TypeField("KZ_QFJG", "签发机关", Mask.NONE, "{issuer}"),
            _TERM,
        ),
        residents_only=True,
    ),
    DemoType(
        f"{_MARKET[1]}001",
        "营业执照",
        True,
        *_MARKET,
        HolderCategory.ORGANISATION,
        "市场监督管理局",
        None,
        "{code}",
        (
            TypeField("KZ_TYSHXYDM", "统一社会信用代码", Mask.NONE, "{code}"),
            TypeField("KZ_MC", "名称", Mask.NONE, "{name}"),
            TypeField("KZ_LX", "类型", Mask.NONE, "有限责任公司|股份有限公司"),
            TypeField("KZ_FDDBR", "法定代表人", Mask.NAME, "{partner}"),
            TypeField("KZ_ZCZB", "注册资本", Mask.NONE, "伍拾万元整|壹佰万元整|伍佰万元整"),
            TypeField("KZ_CLRQ", "成立日期", Mask.NONE, "{issue_date}"),
            TypeField("KZ_ZS", "住所", Mask.ADDRESS, "{home}"),
            TypeField("KZ_JYFW", "经营范围", Mask.NONE, "软件开发|日用百货销售|货物运输"),
        ),
    ),
    DemoType(
        f"{_REAL_ESTATE[1]}001",
        "不动产权证书",
        True,
        *_REAL_ESTATE,
        _PERSON,
        "自然资源和规划局",
        None,
        "{short}（{year}）{city}不动产权第{serial:07d}号",
        (
            TypeField("KZ_BDCQZH", "不动产权证号", Mask.NUMBER, "{number}"),
            TypeField("KZ_QLR", "权利人", Mask.NAME, "{name}"),
            TypeField("KZ_GYQK", "共有情况", Mask.NONE, "单独所有|共同共有"),
            TypeField("KZ_ZL", "坐落", Mask.ADDRESS, "{home}"),
            TypeField("KZ_BDCDYH", "不动产单元号", Mask.NUMBER, "{area}001001GB{serial:05d}F00010001"),
            TypeField("KZ_QLLX", "权利类型", Mask.NONE, "国有建设用地使用权/房屋所有权"),
            TypeField("KZ_YT", "用途", Mask.NONE, "城镇住宅用地/住宅"),
            TypeField("KZ_MJ", "面积", Mask.NONE, "房屋建筑面积89.60㎡|房屋建筑面积103.25㎡|房屋建筑面积127.40㎡"),
        ),
    ),
    DemoType(
        f"{_CIVIL[1]}001",
        "结婚证",
        True,
        *_CIVIL,
        _PERSON,
        "民政局",
        None,
        "J{area}-{year}-{serial:06d}",
        (
            TypeField("KZ_JHZZH", "结婚证字号", Mask.NUMBER, "{number}"),
            TypeField("KZ_CZR", "持证人", Mask.NAME, "{name}"),
            TypeField("KZ_CZRSFZJH", "持证人身份证件号", Mask.CITIZEN_ID, "{code}"),
            TypeField("KZ_POXM", "配偶姓名", Mask.NAME, "{partner}"),
            TypeField("KZ_POSFZJH", "配偶身份证件号", Mask.CITIZEN_ID, "{partner_code}"),
            TypeField("KZ_DJRQ", "登记日期", Mask.NONE, "{issue_date}"),
            TypeField("KZ_DJJG", "登记机关", Mask.NONE, "{issuer}"),
        ),
    ),
    DemoType(
        f"{_POLICE[1]}901",
        "机动车驾驶证",
        False,
        *_POLICE,
        _PERSON,
        "公安局交通警察支队",
        10,
        "{code}",
        (
            _NAME,
            _SEX,
            TypeField("KZ_ZH", "证号", Mask.CITIZEN_ID, "{code}"),
            _HOME,
            TypeField("KZ_CCLZRQ", "初次领证日期", Mask.NONE, "{issue_date}"),
            TypeField("KZ_ZJCX", "准驾车型", Mask.NONE, "C1|C2|B2|A1"),
            TypeField("KZ_DABH", "档案编号", Mask.NUMBER, "{area}{serial:06d}"),
            _TERM,
        ),
    ),
    DemoType(
        f"{_POLICE[1]}902",
        "居住证",
        False,
        *_POLICE,
        _PERSON,
        "公安局",
        1,
        "{code}",
        (
            _NAME,
            _SEX,
            _CITIZEN_ID,
            TypeField("KZ_JZDZ", "居住地址", Mask.ADDRESS, "{home}"),
            TypeField("KZ_LXDH", "联系电话", Mask.MOBILE, "{mobile}"),
            TypeField("KZ_QFJG", "签发机关", Mask.NONE, "{issuer}"),
            _TERM,
        ),
    ),
    DemoType(
        f"{_HEALTH[1]}901",
        "出生医学证明",
        False,
        *_HEALTH,
        _PERSON,
        "卫生健康委员会",
        None,
        "Z{area}{serial:06d}",
        (
            TypeField("KZ_CSZBH", "出生证编号", Mask.NUMBER, "{number}"),
            TypeField("KZ_XSEXM", "新生儿姓名", Mask.NAME, "{child}"),
            TypeField("KZ_XSEXB", "新生儿性别", Mask.NONE, "男|女"),
            TypeField("KZ_CSSJ", "出生时间", Mask.NONE, "{issue_date}"),
            TypeField("KZ_MQXM", "母亲姓名", Mask.NAME, "{name}"),
            TypeField("KZ_MQSFZJH", "母亲身份证件号", Mask.CITIZEN_ID, "{code}"),
            TypeField("KZ_JSJG", "接生机构", Mask.NONE, "{city}示范妇幼保健院"),
        ),
        holder_sex="女",
    ),
    DemoType(
        f"{_HOUSING[1]}011",
        "安管人员考核合格证",
        True,
        *_HOUSING,
        _PERSON,
        "住房和城乡建设局",
        3,
        "{short}建安B（{year}）{serial:07d}",
        (
            _NAME,
            _SEX,
            _CITIZEN_ID,
            _EMPLOYER,
            TypeField("KZ_ZW", "职务", Mask.NONE, "企业主要负责人|项目负责人|专职安全生产管理人员"),
            TypeField("KZ_JSZC", "技术职称", Mask.NONE, "助理工程师|工程师|高级工程师"),
            _TERM,
        ),
    ),
    DemoType(
        f"{_HOUSING[1]}032",
        "特种作业操作资格证",
        True,
        *_HOUSING,
        _PERSON,
        "住房和城乡建设局",
        2,
        "{short}A042{year}{serial:06d}",
        (
            _NAME,
            _SEX,
            _CITIZEN_ID,
            TypeField("KZ_CZLB", "操作类别", Mask.NONE, "建筑电工|建筑架子工|建筑起重信号司索工|建筑焊工"),
            TypeField("KZ_ZSBH", "证书编号", Mask.NUMBER, "{number}"),
            TypeField("KZ_CCLZRQ", "初次领证日期", Mask.NONE, "{issue_date}"),
            _TERM,
        ),
    ),
    DemoType(
        f"{_LABOUR[1]}901",
        "社会保障卡",
        False,
        *_LABOUR,
        _PERSON,
        "人力资源和社会保障局",
        10,
        "{short}{serial:08d}",
        (
            _NAME,
            TypeField("KZ_SHBZHM", "社会保障号码", Mask.CITIZEN_ID, "{code}"),
            TypeField("KZ_KH", "卡号", Mask.NUMBER, "{number}"),
            TypeField("KZ_LXDH", "联系电话", Mask.MOBILE, "{mobile}"),
            TypeField("KZ_FKRQ", "发卡日期", Mask.NONE, "{issue_date}"),
            _TERM,
        ),
        provinces=("31", "32"),  # so that a type is offered by some provinces only
    ),
)
